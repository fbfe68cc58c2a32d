#!/usr/bin/env python3
"""The clients of all languages against a running Meltica: what they compute must be what was published.

Called by ./dev test clients. Starts the demo with a seeded synthetic market, lets the clients join late and follow one
book to the same update id, and compares every digest that they print with the events themselves, as `meltica tail`
shows them. Then the same for a book that nobody had asked for before. docs/asyncapi.yaml is parsed, and compared with
what runs; the commands of the documentation for the NATS command line are carried out. Standard library only.

    run.py DEV [NAME...]     DEV: the project's ./dev; NAME: a language, asyncapi or natscli; without names all of them
"""

import json
import os
import re
import shutil
import socket
import sys
import time

import natscli
from process import Failure, Process, root

LANGUAGES = {  # tools on the host that build and run it; C has all it needs where Meltica itself is built
    "c": [],
    "go": ["go", "protoc"],
    "python": ["python3", "protoc"],
    "typescript": ["node", "npm", "protoc"],
    "rust": ["cargo", "protoc"],
    "java": ["java", "mvn"],
}
ASYNCAPI, NATSCLI = "asyncapi", "natscli"
INSTRUMENT_LATE, INSTRUMENT_ASKED = "SYM0001-USDT", "SYM0002-USDT"
START_S, BUILD_S, RUN_S = 60, 900, 120
BOOKS_MIN = 3  # BOOK events that each client has to have compared
FOLLOW_S = (20, 60)  # how long a run goes on; the second where somebody started too slowly for the first

here = os.path.dirname(os.path.abspath(__file__))
clients = os.path.dirname(here)
dev = ""


def tool(*words):
    return [dev, "shell", os.path.join(root, "build/release/bin/meltica"), *words]


class Reference(Process):
    """The digests of one instrument by update id, as the events themselves carry them."""

    def __init__(self, instrument, url):
        self.deltas, self.books, self.latest = {}, {}, 0
        self.times = {}
        super().__init__("tail", tool("tail", instrument, "--json", "--nats-url", url))

    def take(self, line):
        event = json.loads(line)
        with self.changed:
            if event["type"] == "BOOK_DELTA" and event["book_delta"]["digest_version"] == 1:
                self.latest = int(event["source"]["last"])
                self.deltas[self.latest] = event["book_delta"]["digest"]
                self.times[self.latest] = int(event["stamps"]["received"])
            elif event["type"] == "BOOK" and event["book"]["state"] == "LIVE":
                self.books[int(event["book"]["last_update_id"])] = event["book"]["digest"]
            self.changed.notify_all()

    def wait_until(self, reached, what):
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended or reached(), START_S) or self.ended:
                raise Failure(f"{what} did not come within {START_S} s. {self.last_words()}")

    def ahead(self, seconds):
        """An update id that this market reaches in about so many seconds."""
        self.wait_until(lambda: len(self.times) >= 10, "deltas with digests")
        with self.changed:
            ids = sorted(self.times)
            took = (self.times[ids[-1]] - self.times[ids[0]]) / 1e9
            return ids[-1] + int((ids[-1] - ids[0]) / took * seconds)

    def digest(self, update_id):
        return self.books.get(update_id, self.deltas.get(update_id))


# ---- one run ----


def command(language, *words):
    script = [os.path.join(clients, language, "run.sh"), *words]
    return [dev, "shell", *script] if language == "c" else script


def build(language):
    missing = [name for name in LANGUAGES[language] if shutil.which(name) is None]
    if missing:
        raise Failure(f"{language}: this host has no {', no '.join(missing)}")
    script = [os.path.join(clients, language, "build.sh")]
    started = time.monotonic()
    process = Process(f"{language}: build.sh", [dev, "shell", *script] if language == "c" else script)
    if process.wait(BUILD_S) != 0:
        raise Failure(f"{process.name} failed. {process.last_words()}")
    print(f"  {language:11} built in {time.monotonic() - started:.0f} s", flush=True)


FINAL = re.compile(r"final (\S+) epoch=(\d+) events=(\d+) gaps=(\d+) last_update_id=(\d+) digest=([0-9a-f]{8})")
BOOK = re.compile(r"(?:book|joined) (\S+) (?:epoch=\d+ )?last_update_id=(\d+) digest=([0-9a-f]{8})")


def judge(language, process, instrument, until, reference):
    """What is wrong with the output of one client, else its line of the end."""
    status = process.wait(RUN_S)
    lines = process.lines
    final = FINAL.fullmatch(lines[-1]) if lines else None
    if status != 0 or final is None or final[1] != instrument:
        raise Failure(f"{language}: exit status {status}. {process.last_words()}")
    if not lines[0].startswith(f"subscribed {instrument} "):
        raise Failure(f"{language}: its first line is {lines[0]!r}")
    compared = [BOOK.fullmatch(line) for line in lines[1:-1]]
    if None in compared or len(compared) < 1 + BOOKS_MIN or not lines[1].startswith("joined "):
        raise Failure(f"{language}: wants joined and {BOOKS_MIN} books. {process.last_words()}")
    last = int(final[5])
    reference.wait_until(lambda: reference.latest >= last, f"update id {last}")
    for update_id, digest in [(int(m[2]), m[3]) for m in compared] + [(last, final[6])]:
        published = reference.digest(update_id)
        if published is None or digest != f"{published:08x}":
            said = "nothing" if published is None else f"{published:08x}"
            raise Failure(f"{language}: digest {digest} at update id {update_id}; published was {said}")
    if final[4] != "0" or int(final[3]) < BOOKS_MIN or last < until:
        raise Failure(f"{language}: {lines[-1]} (until {until})")
    return last, final[6], final[2], len(compared) - 1


def agree(ends):
    """ends: language to (update id, digest, epoch, books); raises unless all say the same."""
    first = next(iter(ends.values()))[:3]
    odd = {language: end for language, end in ends.items() if end[:3] != first}
    if odd:
        raise Failure("they do not agree: " + ", ".join(f"{lang} {end[:3]}" for lang, end in ends.items()))


def follow(languages, instrument, url, reference, until, seconds):
    options = ["--nats-url", url, "--instrument", instrument, "--until-update-id", str(until)]
    options += ["--seconds", str(seconds)]
    running = {language: Process(language, command(language, *options)) for language in languages}
    ends = {language: judge(language, p, instrument, until, reference) for language, p in running.items()}
    for language, (last, digest, _, books) in ends.items():
        print(f"  {language:11} {digest} at {last}, {books} books equal", flush=True)
    return ends


def ask_for_book(url):
    """Somebody who is no client of these: the book flows whoever else comes and goes."""
    ask = Process("sub", tool("sub", "BOOK", INSTRUMENT_LATE, "--consumer", "conformance", "--nats-url", url))
    if ask.wait(START_S) != 0:
        raise Failure(f"meltica sub failed. {ask.last_words()}")


def late(languages, url):
    """They join a book that flows already: somebody else has asked for it."""
    instrument = INSTRUMENT_LATE
    print(f"{instrument}: all join late", flush=True)
    reference = Reference(instrument, url)
    ask_for_book(url)
    for seconds in FOLLOW_S:
        until = reference.ahead(seconds)
        verify = Process(
            "verify", tool("verify", instrument, "--json", "--seconds", str(seconds // 2), "--nats-url", url)
        )
        ends = follow(languages, instrument, url, reference, until, seconds * 3)
        if all(end[3] >= BOOKS_MIN for end in ends.values()) and len({end[0] for end in ends.values()}) == 1:
            break
        print("  somebody started too slowly: again, with more time", flush=True)
    agree(ends)
    if verify.wait(RUN_S) != 0:
        raise Failure(f"meltica verify found something. {verify.last_words()}")
    own = json.loads(verify.lines[-1])
    if own["digest"] != reference.digest(int(own["last_update_id"])):
        raise Failure(f"meltica verify says {own}, published was {reference.digest(int(own['last_update_id']))}")
    print(f"  verify      {own['digest']:08x} at {own['last_update_id']}, {own['books_right']} books equal", flush=True)
    reference.end()


def asked(languages, url, reference):
    """Nobody has asked for this book before: it flows because they do, and ends with the last of them."""
    instrument = INSTRUMENT_ASKED
    print(f"{instrument}: flows because they ask for it", flush=True)
    options = ["--nats-url", url, "--instrument", instrument, "--seconds", "15"]
    running = {language: Process(language, command(language, *options)) for language in languages}
    for language, process in running.items():
        last, digest, _, books = judge(language, process, instrument, 1, reference)
        print(f"  {language:11} {digest} at {last}, {books} books equal", flush=True)
    reference.end()


def audited(languages, url):
    """Each client's commands were carried out, as the audit has them."""
    audit = Process("audit", tool("audit", "--json", "--nats-url", url))
    if audit.wait(START_S) != 0:
        raise Failure(f"meltica audit failed. {audit.last_words()}")
    records = [json.loads(line) for line in audit.lines]
    for language in languages:
        verbs = [r["verb"] for r in records if r["consumer"] == f"client-{language}" and r["outcome"] == "CONFIRMED"]
        if verbs[:2] != ["subscribe", "unsubscribe"] or len(verbs) % 2 != 0:
            raise Failure(f"{language}: of its commands were confirmed: {verbs}")


# ---- docs/asyncapi.yaml ----


def request(url, subject):
    """The body of the answer to an empty request, as one JSON object."""
    host, port = url.removeprefix("nats://").split(":")
    with socket.create_connection((host, int(port)), START_S) as connection, connection.makefile("rwb") as wire:
        wire.readline()  # INFO
        wire.write(b'CONNECT {"verbose":false}\r\nSUB _INBOX.conformance 1\r\n')
        wire.write(b"PUB %s _INBOX.conformance 0\r\n\r\n" % subject.encode())
        wire.flush()
        while True:
            words = wire.readline().split()
            if words[:1] == [b"PING"]:
                wire.write(b"PONG\r\n")
                wire.flush()
            elif words[:1] == [b"MSG"]:
                return json.loads(wire.read(int(words[-1])))
            elif words[:1] in ([b"HMSG"], [b"-ERR"], []):
                raise Failure(f"{subject}: {b' '.join(words).decode()}")


def parsed():
    """docs/asyncapi.yaml as AsyncAPI's own parser understands it; what it names has to be there."""
    folder = os.path.join(clients, ASYNCAPI)
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        raise Failure(f"{ASYNCAPI}: this host has no {', no '.join(missing)}")
    packages = Process("npm", ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", folder])
    if packages.wait(BUILD_S) != 0:
        raise Failure(f"{ASYNCAPI}: npm ci failed. {packages.last_words()}")
    page = os.path.join(root, "docs/asyncapi.yaml")
    check = Process("check.mjs", ["node", os.path.join(folder, "check.mjs"), page])
    status = check.wait(START_S)
    if status != 0:
        raise Failure(f"docs/asyncapi.yaml is wrong. {check.last_words()}")
    described = json.loads(check.lines[-1])
    with open(os.path.join(root, "proto/meltica/v1/event.proto"), encoding="utf-8") as file:
        messages = set(re.findall(r"^message (\w+) {", file.read(), re.MULTILINE))
    unknown = [name for name in described["protobuf"] if name.removeprefix("meltica.v1.") not in messages]
    empty = [title for title, kind in described["payloads"] if kind != "object"]
    if unknown or empty or not described["protobuf"]:
        raise Failure(f"docs/asyncapi.yaml: no such protobuf messages {unknown}, payloads without a schema {empty}")
    print(f"  {ASYNCAPI:11} {len(described['addresses'])} channels", flush=True)
    return {re.sub(r"{\w+}", "*", address) for address in described["addresses"] if address is not None}


STREAMS = {  # that keep what is sent on subjects with these beginnings
    "meltica.journal.": "MELTICA_JOURNAL",
    "meltica.int.audit.": "MELTICA_AUDIT",
    "$KV.meltica-snapshots.": "KV_meltica-snapshots",
    "$KV.meltica-instruments.": "KV_meltica-instruments",
}


def kept(subjects, address):
    """Whether one of a stream's subjects covers an address."""
    return any(re.fullmatch(re.escape(s).replace(r"\*", "[^.]+").replace(">", ".+"), address) for s in subjects)


def as_described(addresses, url):
    """What the document says of control, and of what is kept, is what runs."""
    served = {e["subject"] for e in request(url, "$SRV.INFO.meltica-control")["endpoints"]}
    served = {subject for subject in served if not subject.startswith("meltica.int.")}
    said = {address for address in addresses if address.startswith("meltica.control.")}
    if served != said:
        raise Failure(f"docs/asyncapi.yaml says {sorted(said)}, served is {sorted(served)}")
    for beginning, stream in STREAMS.items():
        said = [address for address in addresses if address.startswith(beginning)]
        config = request(url, f"$JS.API.STREAM.INFO.{stream}")["config"]
        if not said or not all(kept(config["subjects"], address) for address in said):
            raise Failure(f"docs/asyncapi.yaml says {said}, {stream} keeps {config['subjects']}")
    print(f"{ASYNCAPI}: {len(addresses)} addresses; control and streams are as described", flush=True)


def main():
    global dev
    dev = sys.argv[1]
    every = [*LANGUAGES, ASYNCAPI, NATSCLI]
    names = sys.argv[2:] or every
    unknown = [name for name in names if name not in every]
    if unknown:
        raise Failure(f"no client in {', '.join(unknown)}: there are {', '.join(every)}")
    languages = [name for name in names if name in LANGUAGES]
    print("clients:", flush=True)
    for language in languages:
        build(language)
    addresses = parsed() if ASYNCAPI in names else set()
    nats = natscli.program() if NATSCLI in names else ""
    table = os.path.join(here, "table.json")
    demo = Process(
        "demo", [dev, "demo", "--synthetic", "--symbols", "3", "--rate", "300", "--table", table, "--seconds", "1800"]
    )
    url = demo.wait_for(r"nats +(nats://\S+)", START_S)[1]
    demo.wait_for("^Logs: ", START_S)
    if languages:
        silent = Reference(INSTRUMENT_ASKED, url)  # listens long before anything comes: it has to have the first event
        late(languages, url)
        asked(languages, url, silent)
        audited(languages, url)
        print(f"{len(languages)} clients, one digest", flush=True)
    if addresses:
        as_described(addresses, url)
    if nats:
        ask_for_book(url)
        natscli.run(url, nats)
    print(f"{len(names)} passed, 0 failed")


if __name__ == "__main__":
    result = 0
    try:
        main()
    except Failure as failure:
        print(f"clients: {failure}", file=sys.stderr)
        result = 1
    finally:
        for process in reversed(Process.all):
            process.end()
    sys.exit(result)
