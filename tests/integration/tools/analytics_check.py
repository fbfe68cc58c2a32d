#!/usr/bin/env python3
"""The measures of every published BOOK, calculated again from what else was published, by docs/analytics.md
alone: levels from BOOK_SNAPSHOT and BOOK_DELTA, trades from TRADE, all in integers, each window anew.

    analytics_check.py FILE        an EventBatch: encoded events in the order of the stream

Exit status 0: all compared measures equal; 1: not, or too few; 77: no such file.
"""

import sys
from math import isqrt

from digest_check import Book, event_of_bytes, fields, message, zigzag

SECOND = 10**9
MAX = 2**63 - 1
NEVER = -(2**63)
WARMING, LIMITED = 2, 4
LEVELS, BPS, SPANS = (1, 5, 20), (5, 10, 50), (1, 10, 60)
TRADE, STATUS, BOOK = 3, 10, 8
LOST, DOWN = 2, 3
AFTER_GAP = 128
NAMES = (
    "mid spread spread_bps microprice bid_depth ask_depth imbalance bid_within ask_within imbalance_within vwap "
    "trade_flow volatility"
).split()


def half_even(numerator, denominator):
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2))


def rounded(numerator, denominator, exponent, digits):
    """numerator / denominator, in units of 10^exponent, with up to `digits` decimals more."""
    for more in range(digits, -1, -1):
        if exponent - more >= -18:
            mantissa = half_even(numerator * 10**more, denominator)
            if abs(mantissa) <= MAX:
                return mantissa, exponent - more
    return None


class Measures:
    """One instrument: what was seen of it, and the measures of now."""

    def __init__(self):
        self.now, self.began = NEVER, None
        self.trades = []  # (time, price, quantity, bought)
        self.mids = []  # (time, best bid + best ask)
        self.exponents = None

    def advance(self, time):
        self.now = max(self.now, time)
        if self.began is None:
            self.began = self.now

    def missed(self):
        self.trades, self.began = [], None

    def not_live(self):
        self.mids = []

    def trade(self, time, price, quantity, bought):
        self.advance(time)
        self.trades.append((time, price, quantity, bought))
        if len(self.trades) > 65536:
            oldest = self.now - 61 * SECOND
            self.trades = [t for t in self.trades if t[0] >= oldest]

    def book(self, time, bids, asks):
        if max(self.now, time) == NEVER:
            return
        self.advance(time)
        if bids and asks:
            self.mids.append((self.now, bids[0][0] + asks[0][0]))
            if len(self.mids) > 8192:
                self.mids = self.mids[-4096:] if self.mids[-4096][0] < self.now - 62 * SECOND else self.mids
        else:
            self.not_live()

    def measure(self, sides):
        p, q = self.exponents
        bids, asks = (side.best() for side in sides)
        out = {}
        if bids and asks:
            (bid, b), (ask, a) = bids[0], asks[0]
            out["mid", 0] = rounded(bid + ask, 2, p, 4), 0
            out["spread", 0] = (ask - bid, p), 0
            out["spread_bps", 0] = rounded(20000 * (ask - bid), bid + ask, 0, 4), 0
            out["microprice", 0] = rounded(bid * a + ask * b, a + b, p, 4), 0
            for i, count in enumerate(LEVELS):
                limits = [side.bound != float("-inf") and len(l) < count for side, l in zip(sides, (bids, asks))]
                self.depth(out, "depth", "imbalance", i, q, bids[:count], asks[:count], limits)
            for i, x in enumerate(BPS):
                # Doubled mid times 10,000: no fractions.
                low, high = (bid + ask) * (10000 - x), (bid + ask) * (10000 + x)
                inside = [l for l in bids if 20000 * l[0] >= low], [l for l in asks if 20000 * l[0] <= high]
                limits = [sides[0].bound * 20000 > low, -sides[1].bound * 20000 < high]
                self.depth(out, "within", "imbalance_within", i, q, *inside, limits)
        for i, seconds in enumerate(SPANS):
            self.flow(out, i, seconds, p)
        self.volatility(out)
        return {key: value for key, value in out.items() if value[0] is not None}

    @staticmethod
    def depth(out, kind, other, i, q, bids, asks, limits):
        b, a = (sum(quantity for _, quantity in side) for side in (bids, asks))
        flags = [LIMITED if limited else 0 for limited in limits]
        out["bid_" + kind, i] = (b, q), flags[0]
        out["ask_" + kind, i] = (a, q), flags[1]
        if a + b:
            out[other, i] = rounded(b - a, b + a, 0, 6), flags[0] | flags[1]

    def flow(self, out, i, seconds, p):
        step = SECOND if seconds == 60 else SECOND // 10
        now, steps = self.now // step, seconds * SECOND // step
        inside = [t for t in self.trades if now - steps < t[0] // step <= now]
        total = sum(t[2] for t in inside)
        if total:
            warming = WARMING if self.now // step - self.began // step < steps else 0
            bought = sum(t[2] for t in inside if t[3])
            out["vwap", i] = rounded(sum(t[1] * t[2] for t in inside), total, p, 4), warming
            out["trade_flow", i] = rounded(2 * bought - total, total, 0, 6), warming

    def volatility(self, out):
        samples, at = [], 0
        if not self.mids:
            return
        last = (self.now - 1) // SECOND
        for second in range(max(-(-self.mids[0][0] // SECOND), last - 60), last + 1):
            while at + 1 < len(self.mids) and self.mids[at + 1][0] <= second * SECOND:
                at += 1
            samples.append(self.mids[at][1])
        if len(samples) > 1:
            returns = [half_even((b - a) * 10**12, a) for a, b in zip(samples, samples[1:])]
            root = isqrt(sum(r * r for r in returns))
            out["volatility", 0] = (root, -12), 0 if len(samples) > 60 else WARMING


class Instrument:
    def __init__(self, token):
        self.follower, self.measures, self.live = Book(token), Measures(), False
        self.conducted = 0

    def sides(self):
        return self.follower.sides["bids"], self.follower.sides["asks"]

    def moved(self, time):
        bids, asks = (side.best() for side in self.sides())
        self.measures.book(time, bids, asks)


def decimal(data, exponent):
    m = message(data)
    shift = zigzag(m.get(2, 0)) - exponent
    if shift < 0:
        raise ValueError("more decimals than announced")
    return zigzag(m.get(1, 0)) * 10**shift


def said(data):
    """(name, index) -> ((mantissa, exponent), flags) of an Analytics message; absent ones are not there."""
    out, seen = {}, {}
    for number, value in fields(data):
        index = seen[number] = seen.get(number, -1) + 1
        m = message(value)
        if 1 in m:
            d = message(m[1])
            out[NAMES[number - 1], index] = (zigzag(d.get(1, 0)), zigzag(d.get(2, 0))), m.get(2, 0)
    return out


class Check:
    def __init__(self):
        self.instruments = {}
        self.books = self.compared = self.wrong = self.passed_over = self.full = 0

    def event(self, data):
        e = message(data)
        i = self.instruments.setdefault(e[1].decode(), Instrument(e[1].decode()))
        stamps = message(e.get(8, b""))
        time = stamps.get(1, 0) + zigzag(stamps[2]) if 2 in stamps else NEVER  # the exchange's, where it tells
        conducted = stamps.get(1, 0) + zigzag(stamps.get(5, 0))
        late = conducted < i.conducted  # it waited for the cache, and what came later did not
        i.conducted = max(i.conducted, conducted)
        if e.get(2) == TRADE:
            if e.get(9, 0) & AFTER_GAP:
                i.measures.missed()
            self.trade(i, message(e[22]))
            return
        short = event_of_bytes(data)
        if short is None:
            return
        if short["type"] == "BOOK":
            self.book(i, short, message(e[27]), late)
            return
        if short["type"] == "STATUS":
            self.status(i, message(e[29]))
        elif short["type"] == "BOOK_DELTA" or short["reset"]:
            levels = message(message(e[25 if short["type"] == "BOOK_DELTA" else 26]).get(1 if short["type"] == "BOOK_DELTA" else 2, b""))
            i.measures.exponents = zigzag(levels.get(1, 0)), zigzag(levels.get(2, 0))
        before = i.follower.id
        i.follower.event(short)
        if short["type"] == "BOOK_SNAPSHOT" and short["reset"]:
            i.moved(time)
        elif short["type"] == "BOOK_DELTA" and i.live and i.follower.held and i.follower.id != before:
            i.moved(time)

    @staticmethod
    def status(i, s):
        kind = s.get(1, 0)
        if kind in (LOST, DOWN):
            i.measures.missed()
        if kind == 5:
            i.live = True
        elif kind in (6, 7, 9, 10):
            i.live = False
            i.measures.not_live()

    @staticmethod
    def trade(i, t):
        if i.measures.exponents is None:
            return
        p, q = i.measures.exponents
        i.measures.trade(t.get(5, 0), decimal(t[2], p), decimal(t[3], q), t.get(4) == 1)

    def book(self, i, short, book, late):
        if short["state"] != "LIVE":
            return
        if late or not i.follower.held or i.follower.id != short["id"]:
            self.passed_over += 1  # what came meanwhile is in our book already
            return
        self.books += 1
        theirs, own = said(book.get(10, b"")), i.measures.measure(i.sides())
        for key in sorted(theirs.keys() | own.keys()):
            self.compared += 1
            self.full += key in own and key[0] in ("vwap", "volatility") and not own[key][1]
            if theirs.get(key) != own.get(key):
                self.wrong += 1
                if self.wrong <= 10:
                    print(
                        "%s at update id %d: %s[%d] is %s, calculated %s"
                        % (i.follower.token, short["id"], *key, theirs.get(key), own.get(key))
                    )


def main():
    try:
        with open(sys.argv[1], "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return 77
    check = Check()
    for number, value in fields(data):
        if number == 1:
            check.event(value)
    print(
        "%d BOOKs, %d measures compared (%d over full windows), %d differ; %d BOOKs passed over"
        % (check.books, check.compared, check.full, check.wrong, check.passed_over)
    )
    return 1 if check.wrong or check.books < 100 or check.passed_over > check.books else 0


if __name__ == "__main__":
    sys.exit(main())
