#!/usr/bin/env python3
"""Checks the books of a recorded stream: replays BOOK_SNAPSHOT and BOOK_DELTA into a book of its own and
compares every digest, and every LIVE BOOK, with it. Written from docs/wire-format.md alone; standard
library only.

    digest_check.py [--checkpoint FILE] [--json] [FILE]   JSON lines of `meltica tail --json`, or the
                                                          bytes of an EventBatch (`meltica record`,
                                                          a message of meltica.journal.*)
    digest_check.py --vectors docs/wire-format.md         computes the vectors of that page

A book begins with the first BOOK_SNAPSHOT that has `reset`, or with the bytes of a BookCheckpoint. The exit
status is 0 when at least one digest was compared and all were equal, 1 otherwise, 2 for wrong usage, and 3 when
nothing was wrong but no delta was followed: the stream has none behind the beginning of the book, so that
nothing but the checkpoint or single books were compared. Begin the stream first, then get the checkpoint.
"""

import argparse
import json
import re
import struct
import sys
from decimal import Decimal

# ---- digest, version 1 ----

CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def digest(bids, asks):
    data = b""
    for side in (bids, asks):
        top = side[:20]
        data += struct.pack("<I", len(top))
        for price, quantity in top:
            data += struct.pack("<qq", price, quantity)
    return crc32c(data)


# ---- protobuf, as far as these messages need it ----


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
        shift += 7


def zigzag(value):
    return (value >> 1) ^ -(value & 1)


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = int.from_bytes(data[at : at + 8], "little"), at + 8
        elif kind == 5:
            value, at = int.from_bytes(data[at : at + 4], "little"), at + 4
        elif kind == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
            if len(value) != length:
                raise ValueError("a field ends beyond its message")
        else:
            raise ValueError("wire type %d" % kind)
        yield tag >> 3, value


def message(data):
    return dict(fields(data))


def packed(data):
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(zigzag(value))
    return values


def levels(data):
    m = message(data)
    return list(zip(packed(m.get(3, b"")), packed(m.get(4, b""))))


TYPES = {6: ("BOOK_DELTA", 25), 7: ("BOOK_SNAPSHOT", 26), 8: ("BOOK", 27), 10: ("STATUS", 29)}
STATES = {3: "LIVE", 4: "GAP", 5: "STALE", 1: "IDLE", 2: "SYNCING"}
KINDS = {5: "LIVE", 6: "GAP", 7: "STALE", 9: "SYNCING", 10: "IDLE"}


def event_of_bytes(data):
    e = message(data)
    name, number = TYPES.get(e.get(2, 0), (None, 0))
    if name is None:
        return None
    source, body = message(e.get(6, b"")), message(e.get(number, b""))
    out = {
        "instrument": e[1].decode(),
        "type": name,
        "first": zigzag(source.get(2, 0)),
        "last": zigzag(source.get(3, 0)),
    }
    if name == "STATUS":
        return dict(out, kind=KINDS.get(body.get(1, 0)), reason=body.get(2, b"").decode())
    if name == "BOOK_SNAPSHOT":
        return dict(
            out,
            id=zigzag(body.get(1, 0)),
            bids=levels(body.get(2, b"")),
            asks=levels(body.get(3, b"")),
            depth=body.get(4, 0),
            reset=bool(body.get(5, 0)),
        )
    out.update(bids=levels(body.get(1, b"")), asks=levels(body.get(2, b"")))
    if name == "BOOK_DELTA":
        return dict(out, digest=body.get(3, 0), version=body.get(4, 0))
    return dict(
        out,
        id=zigzag(body.get(3, 0)),
        digest=body.get(4, 0),
        version=body.get(5, 0),
        state=STATES.get(body.get(6, 0)),
    )


# ---- JSON lines ----


class Json:
    """Decimals are texts there: their mantissas are at the exponents that INSTRUMENT announced, or, before
    one, at the number of decimals that the texts have."""

    def __init__(self):
        self.exponents = {}

    def mantissas(self, token, side):
        price, quantity = self.exponents.get(token, (None, None))
        return [(self.mantissa(p, price), self.mantissa(q, quantity)) for p, q in side]

    @staticmethod
    def mantissa(text, exponent):
        value = Decimal(text)
        if exponent is None:
            exponent = value.as_tuple().exponent
        scaled = value.scaleb(-exponent)
        if scaled != int(scaled):
            raise ValueError("%s does not fit in exponent %d" % (text, exponent))
        return int(scaled)

    def event(self, e):
        token, name = e["instrument"], e["type"]
        if name == "INSTRUMENT":
            i = e["instrument_info"]
            self.exponents[token] = (i["price_exponent"], i["quantity_exponent"])
        if name not in ("BOOK_DELTA", "BOOK_SNAPSHOT", "BOOK", "STATUS"):
            return None
        body = e[name.lower()]
        out = {
            "instrument": token,
            "type": name,
            "first": int(e["source"]["first"]),
            "last": int(e["source"]["last"]),
        }
        if name == "STATUS":
            return dict(out, kind=body["kind"], reason=body["reason"])
        out.update(bids=self.mantissas(token, body["bids"]), asks=self.mantissas(token, body["asks"]))
        if name == "BOOK_SNAPSHOT":
            return dict(
                out, id=int(body["last_update_id"]), depth=body["requested_depth"], reset=body["reset"]
            )
        out.update(digest=body["digest"], version=body["digest_version"])
        if name == "BOOK":
            out.update(id=int(body["last_update_id"]), state=body["state"])
        return out


# ---- the book ----


class Side:
    def __init__(self, sign):
        self.sign = sign  # 1 bids, -1 asks: a greater rank is better
        self.levels = {}
        self.bound = None  # worst rank that is known; None: nothing is; -inf: all

    def knows(self, price):
        return self.bound is not None and self.sign * price >= self.bound

    def window(self, new, depth):
        """The worst rank that these levels vouch for."""
        if len(new) < depth:
            return float("-inf")
        return self.sign * new[-1][0] if new else None

    def replace(self, new, bound):
        self.levels, self.bound = dict(new), bound

    def merge(self, new, bound):
        if bound is None:
            return
        kept = {p: q for p, q in self.levels.items() if self.sign * p < bound}
        kept.update(new)
        self.levels = kept
        self.bound = bound if self.bound is None else min(self.bound, bound)

    def change(self, price, quantity):
        if not self.knows(price):
            return
        if quantity:
            self.levels[price] = quantity
        else:
            self.levels.pop(price, None)

    def best(self):
        return sorted(self.levels.items(), key=lambda level: -self.sign * level[0])


class Book:
    KEPT = 4096

    def __init__(self, token):
        self.token = token
        self.sides = {"bids": Side(1), "asks": Side(-1)}
        self.id = 0
        self.held = self.unbroken = False
        self.recent = []  # deltas, for snapshots that are older than the stream
        self.counts = dict(deltas=0, right=0, wrong=0, books=0, gaps=0, resets=0)
        self.first_wrong = None

    def digest(self):
        return digest(self.sides["bids"].best(), self.sides["asks"].best())

    def checkpoint(self, data):
        m = message(data)
        for name, number, whole in (("bids", 4, 13), ("asks", 5, 14)):
            new = levels(m.get(number, b""))
            side = self.sides[name]
            side.replace(new, float("-inf") if m.get(whole, 0) else side.window(new, 0))
        self.id = zigzag(m.get(3, 0))
        self.held = self.unbroken = True
        if m.get(7, 0) == 1:
            self.compare("checkpoint", m.get(6, 0))

    def compare(self, what, theirs):
        own = self.digest()
        if own == theirs:
            self.counts["right"] += 1
            return
        self.counts["wrong"] += 1
        self.held = self.unbroken = False
        if self.first_wrong is None:
            self.first_wrong = "%s of %s at update id %d: it says %08x, own book %08x" % (
                what,
                self.token,
                self.id,
                theirs,
                own,
            )

    def apply(self, delta):
        for name, side in self.sides.items():
            for price, quantity in delta[name]:
                side.change(price, quantity)
        self.id = delta["last"]
        self.counts["deltas"] += 1

    def delta(self, e):
        if self.held and e["last"] <= self.id:
            return
        before = self.id if self.held else self.recent[-1]["last"] if self.recent else e["first"] - 1
        if e["first"] > before + 1:
            self.counts["gaps"] += 1
            self.held = self.unbroken = False
        if self.recent and e["first"] > self.recent[-1]["last"] + 1:
            self.recent = []
        self.recent = (self.recent + [e])[-self.KEPT :]
        if self.held:
            self.apply(e)
            if e["version"] == 1:
                self.compare("BOOK_DELTA", e["digest"])

    def snapshot(self, e):
        if not e["reset"]:
            return
        merge = self.unbroken and e["id"] < self.id
        for name, side in self.sides.items():
            bound = side.window(e[name], e["depth"])
            (side.merge if merge else side.replace)(e[name], bound)
        self.id = e["id"]
        self.counts["resets"] += 1
        self.held = self.unbroken = True
        for delta in self.recent:
            if delta["last"] > self.id and self.held:
                self.held = self.unbroken = delta["first"] <= self.id + 1
                if self.held:
                    self.apply(delta)

    def book(self, e):
        if e["state"] != "LIVE" or e["version"] != 1 or not self.held or e["id"] != self.id:
            return
        self.counts["books"] += 1
        for name, side in self.sides.items():
            if side.best()[: len(e[name])] != e[name]:
                e = dict(e, digest=e["digest"] ^ 0xFFFFFFFF)  # equal digests of other levels: neither
        self.compare("BOOK", e["digest"])

    def status(self, e):
        if e["kind"] in ("GAP", "IDLE"):
            self.held = self.unbroken = False
        elif e["kind"] == "STALE" and e["reason"] != "silent":
            self.unbroken = False

    def event(self, e):
        {
            "BOOK_DELTA": self.delta,
            "BOOK_SNAPSHOT": self.snapshot,
            "BOOK": self.book,
            "STATUS": self.status,
        }[e["type"]](e)


# ---- command ----


def events_of(data):
    if data[:1] == b"{":
        reader = Json()
        for line in data.splitlines():
            if line.strip():
                yield reader.event(json.loads(line))
    else:
        for number, value in fields(data):
            if number == 1:
                yield event_of_bytes(value)


def check(options):
    data = options.file.read()
    books = {}
    if options.checkpoint:
        raw = options.checkpoint.read()
        token = message(raw)[1].decode()
        books[token] = Book(token)
        books[token].checkpoint(raw)
    for e in events_of(data):
        if e is not None:
            books.setdefault(e["instrument"], Book(e["instrument"])).event(e)
    right = sum(b.counts["right"] for b in books.values())
    wrong = sum(b.counts["wrong"] for b in books.values())
    if options.json:
        print(json.dumps({t: dict(b.counts, first_wrong=b.first_wrong) for t, b in sorted(books.items())}))
    else:
        for token, book in sorted(books.items()):
            print(token, " ".join("%s=%d" % count for count in book.counts.items()))
            if book.first_wrong:
                print("  " + book.first_wrong)
        print("%d digests equal, %d not" % (right, wrong))
    if right == 0 or wrong > 0:
        return 1
    if not any(b.counts["deltas"] for b in books.values()):
        print(
            "no delta was followed: the stream has none that follows the beginning of the book; begin the stream"
            " first, then get the checkpoint, then let the stream go on",
            file=sys.stderr,
        )
        return 3
    return 0


VECTORS = (
    ([], []),
    ([(6160201, 167177), (6160200, 1)], [(6160202, 266795)]),
    ([(1000 - i, 1000 - i) for i in range(25)], []),
)


def check_vectors(page):
    written = [int(text, 16) for text in re.findall(r"\| `0x([0-9a-f]{8})` \|", page.read().decode())]
    computed = [digest(bids, asks) for bids, asks in VECTORS]
    print("written  %s\ncomputed %s" % tuple(" ".join("%08x" % v for v in list_) for list_ in (written, computed)))
    return 0 if written == computed and crc32c(b"123456789") == 0xE3069283 else 1


def main():
    parser = argparse.ArgumentParser(description="compares the digests of a recorded stream with an own book")
    parser.add_argument("file", nargs="?", type=argparse.FileType("rb"), default=sys.stdin.buffer)
    parser.add_argument("--checkpoint", type=argparse.FileType("rb"), help="bytes of a BookCheckpoint")
    parser.add_argument("--json", action="store_true", help="counts by instrument as one JSON object")
    parser.add_argument("--vectors", type=argparse.FileType("rb"), help="docs/wire-format.md")
    options = parser.parse_args()
    if options.vectors:
        return check_vectors(options.vectors)
    return check(options)


if __name__ == "__main__":
    sys.exit(main())
