"""digest_check.py against streams that book_stream writes, as bytes and as the JSON that meltica makes of
them: what is right passes, and each fault is found.

    test_digest_check.py BOOK_STREAM MELTICA WIRE_FORMAT_PAGE
"""

import json
import os
import subprocess
import sys
import tempfile

STREAM, MELTICA, PAGE = sys.argv[1:]
CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "digest_check.py")


def run(arguments, data=b""):
    done = subprocess.run(arguments, input=data, capture_output=True, timeout=60)
    return done.returncode, done.stdout


def check(data, *arguments):
    status, out = run([sys.executable, CHECK, "--json", *arguments], data)
    return status, json.loads(out)["BTC-USDT"]


def expect(what, condition, found):
    if not condition:
        sys.exit("%s: %s" % (what, found))


def main():
    status, out = run([sys.executable, CHECK, "--vectors", PAGE])
    expect("vectors of the page", status == 0, out)

    _, right = run([STREAM])
    status, found = check(right)
    expect("a right stream", status == 0 and found["wrong"] == 0, found)
    # 402 deltas carry a digest and 41 books; the missing ids are said.
    expect("all compared", found["right"] == 443 and found["books"] == 41, found)
    expect("mended", found["gaps"] == 1 and found["resets"] == 3, found)

    status, lines = run([MELTICA, "decode", "--batch"], right)
    expect("decode", status == 0, lines[:200])
    status, as_json = check(lines)
    expect("the same as JSON", status == 0 and as_json == found, as_json)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint")
        _, late = run([STREAM, "", path])
        status, found = check(late, "--checkpoint", path)
        expect("a late joiner", status == 0 and found["right"] == 444 and found["resets"] == 2, found)
        done = subprocess.run([sys.executable, CHECK, "--checkpoint", path], input=b"", capture_output=True, timeout=60)
        expect("a checkpoint alone", done.returncode == 3 and b"1 digests equal, 0 not" in done.stdout, done)
        expect("it says so", b"no delta was followed" in done.stderr, done.stderr)

    for fault, what in (("digest", "BOOK_DELTA"), ("quantity", "BOOK_DELTA"), ("level", "BOOK")):
        _, wrong = run([STREAM, fault])
        status, found = check(wrong)
        expect("fault " + fault, status == 1 and found["wrong"] >= 1, found)
        expect("named", found["first_wrong"].startswith(what + " of BTC-USDT at update id "), found)

    status, out = run([sys.executable, CHECK], b"")
    expect("nothing to compare is no success", status == 1, out)


main()
