"""Every line of the documentation that begins with `nats `, carried out with the real nats command line.

A line that this file does not know is a failure, and so is one that it knows and the documentation has no more.
"""

import glob
import os
import re
import shutil
import tempfile
import time

from process import Failure, Process, root

WAIT_S = 60
NATSCLI = "github.com/nats-io/natscli/nats@v0.5.0"
INSTALL_S = 900
WRITTEN, THERE = "BTC-USDT", "SYM0001-USDT"  # instruments: that of the documentation of the live market, that of the demo's and of this one

# Command, as written but without its comment: what its output must show, in any order. Those that go on by themselves
# ("goes on") are ended when they have shown it; with "file:" what is written has to have it.
GOES_ON = "goes on"
SERVICES = ["meltica-adapter", "meltica-dispatcher", "meltica-conductor", "meltica-data-bus", "meltica-control"]
SUBSCRIBE = "nats request meltica.control.subscribe "
TRADES = '{"consumer":"desk-7","type":"TRADE","instruments":["BTC-USDT"]'
EXPECTED = {
    "nats sub 'meltica.data.*' --count 5 --translate './dev shell ./build/release/bin/meltica decode'": [
        r'"instrument":"SYM\d+-USDT","type":"[A-Z_]+"',
    ],
    "nats micro ls": SERVICES,
    "nats micro info meltica-control": [r"meltica\.control\.subscribe", "meltica-control"],
    "nats request meltica.control.status ''": [r'"status":"OK"', r'"adapters":\['],
    "nats request meltica.control.describe ''": [r'"type":"BOOK"', r'"subscriptions":\['],
    f"{SUBSCRIBE}'{TRADES}}}'": [r'"status":"CONFIRMED"', r'"channels":\["meltica\.data\.SYM0001-USDT"\]'],
    "nats request meltica.control.list '{\"consumer\":\"desk-7\"}'": [r'"consumer":"desk-7"', r'"state":"CONFIRMED"'],
    f"nats request meltica.control.unsubscribe '{TRADES}}}'": [r'"status":"CONFIRMED"'],
    f'{SUBSCRIBE}\'{TRADES},"filter":[{{"field":"notional","op":"ge","value":"10000"}}]}}\'': [
        r'"status":"CONFIRMED"',
        r"meltica\.lane\.local\.",
    ],
    f'{SUBSCRIBE}\'{{"consumer":"desk-7","type":"BOOK","instruments":["*-USDT"],"throttle_ms":1000}}\'': [
        r'"status":"CONFIRMED"',
        r"meltica\.lane\.local\.",
    ],
    "nats sub 'meltica.lane.local.>'": [GOES_ON, r"meltica\.lane\.local\.\w+\.SYM\d+-USDT"],
    "nats sub meltica.data.BTC-USDT --dump deltas": [GOES_ON, "file:deltas/1.json:Data"],
    "nats kv get meltica-snapshots BTC-USDT.checkpoint --raw > checkpoint": ["file:checkpoint:SYM0001-USDT"],
}


IMAGES = "docs/deployment.md"  # docker/test.sh carries its lines out, with the images


def written():
    """(file, command) for each line in a code block."""
    for name in ["README.md", *sorted(glob.glob("docs/**/*.md", root_dir=root, recursive=True))]:
        if name == IMAGES:
            continue
        block = False
        with open(os.path.join(root, name), encoding="utf-8") as page:
            for line in page:
                if line.startswith("```"):
                    block = not block
                elif block and line.startswith("nats "):
                    yield name, re.sub(r"\s+(&\s*)?(#.*)?$", "", line.rstrip("\n"))


def program():
    """The nats command line: that of this host, else one made for this test."""
    folder = os.path.join(root, "build/clients/bin")
    found = shutil.which("nats") or shutil.which("nats", path=folder)
    if found is None:
        if shutil.which("go") is None:
            raise Failure("natscli: this host has neither nats nor go")
        install = Process("go install", ["go", "install", NATSCLI], env={**os.environ, "GOBIN": folder})
        if install.wait(INSTALL_S) != 0:
            raise Failure(f"natscli cannot be made. {install.last_words()}")
        found = os.path.join(folder, "nats")
    return found


def file_has(folder, name, text):
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return text.encode() in file.read()
    except OSError:
        return False


def wait_for_file(process, folder, name, text):
    """The command says nothing when it writes: looks until it has, or has ended."""
    end = time.monotonic() + WAIT_S
    while not file_has(folder, name, text):
        with process.changed:
            if process.ended or time.monotonic() > end:
                break
            process.changed.wait(0.1)
    if not file_has(folder, name, text):
        raise Failure(f"{process.name}: {name} has no {text}. {process.last_words()}")


def carry_out(name, command, environment, folder):
    expected = EXPECTED[command.replace(THERE, WRITTEN)]
    # ./dev is found from the project's folder only; the others write beside themselves.
    where = root if "./dev" in command else folder
    words = ["bash", "-c", "exec " + command.replace(WRITTEN, THERE)]
    process = Process(f"{name}: {command}", words, cwd=where, env=environment)
    if expected[0] != GOES_ON:
        if process.wait(WAIT_S) != 0:
            raise Failure(f"{process.name} failed. {process.last_words()}")
    for pattern in (e for e in expected if e != GOES_ON and not e.startswith("file:")):
        process.wait_for(pattern, WAIT_S)
    for _, file, text in (e.split(":") for e in expected if e.startswith("file:")):
        wait_for_file(process, folder, file, text)
    process.end()


def run(url, nats):
    """Raises Failure. A BOOK of THERE has to flow already."""
    environment = {**os.environ, "NATS_URL": url, "MELTICA_NATS_URL": url}
    environment["PATH"] = os.path.dirname(nats) + os.pathsep + environment["PATH"]
    lines = list(written())
    unknown = [f"{name}: {command}" for name, command in lines if command.replace(THERE, WRITTEN) not in EXPECTED]
    gone = set(EXPECTED) - {command.replace(THERE, WRITTEN) for _, command in lines}
    if unknown or gone:
        raise Failure(f"natscli: commands that are not tested {unknown}, that are no more in the documentation {gone}")
    folder = tempfile.mkdtemp(prefix="meltica-natscli.")
    try:
        for name, command in lines:
            carry_out(name, command, environment, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what failed may still write to it
    print(f"natscli: {len(lines)} commands of the documentation do what it says", flush=True)
