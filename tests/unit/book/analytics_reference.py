#!/usr/bin/env python3
"""Calculates docs/analytics.md again, from what analytics_dump prints, with decimal arithmetic and
without windows kept up to date: every measure anew from all levels and trades.

usage: analytics_reference.py DUMP [ARGUMENT...]; exit status 77: skipped
"""
import subprocess
import sys
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, getcontext

getcontext().prec = 300
PRESENT, WARMING, LIMITED = 1, 2, 4
MAX = 2**63 - 1
SECOND = 10**9
LEVELS, BPS, SECONDS = (1, 5, 20), (5, 10, 50), (1, 10, 60)
STEPS = {1: SECOND // 10, 10: SECOND // 10, 60: SECOND}


def rounded(value, exponent, digits):
    """(mantissa, exponent) with up to `digits` decimals beyond exponent, None if it fits at none."""
    for more in range(digits, -1, -1):
        if exponent - more < -18:
            continue
        mantissa = value.scaleb(more - exponent).to_integral_value(ROUND_HALF_EVEN)
        if abs(mantissa) <= MAX:
            return int(mantissa), exponent - more
    return None


class Side:
    def __init__(self, bids):
        self.bids, self.levels, self.bound, self.nothing = bids, {}, None, True

    def seed(self, levels, requested):
        self.levels = dict(levels)
        self.bound = levels[-1][0] if levels and len(levels) >= requested else None
        self.nothing = not levels and requested == 0

    def shown(self):
        inside = [p for p in self.levels if self.bound is None or
                  (p >= self.bound if self.bids else p <= self.bound)]
        return [] if self.nothing else sorted(inside, reverse=self.bids)


class Reference:
    def __init__(self, price_exponent, quantity_exponent):
        self.price_exponent, self.quantity_exponent = price_exponent, quantity_exponent
        self.bids, self.asks = Side(True), Side(False)
        self.now = -(2**63)
        self.restart_trades()
        self.restart_book()

    def restart_trades(self):
        self.trades, self.began = [], None

    def restart_book(self):
        self.mids = []  # (from when, bid + ask)

    def advance(self, at):
        self.now = max(self.now, at)
        if self.began is None:
            self.began = self.now

    def trade(self, at, price, quantity, side):
        self.advance(at)
        self.trades.append((at, price, quantity, side))

    def book(self, at):
        self.advance(at)
        bids, asks = self.bids.shown(), self.asks.shown()
        if bids and asks:
            self.mids.append((self.now, bids[0] + asks[0]))
        else:
            self.restart_book()

    def put(self, name, index, value, exponent, digits, flags=0):
        found = rounded(value, exponent, digits) if value is not None else None
        if found is not None:
            self.out[name, index] = (flags | PRESENT, *found)
        else:
            self.out[name, index] = (flags, None, None)

    def measure(self, at):
        self.out = {}
        self.advance(at)
        bids, asks = self.bids.shown(), self.asks.shown()
        p, q = self.price_exponent, self.quantity_exponent
        if bids and asks:
            bid, ask = Decimal(bids[0]), Decimal(asks[0])
            unit = Decimal(1).scaleb(p)
            bid_size, ask_size = self.bids.levels[bids[0]], self.asks.levels[asks[0]]
            self.put("mid", 0, (bid + ask) / 2 * unit, p, 4)
            self.put("spread", 0, (ask - bid) * unit, p, 0)
            self.put("spread_bps", 0, (ask - bid) / ((bid + ask) / 2) * 10000, 0, 4)
            self.put("microprice", 0,
                     (bid * ask_size + ask * bid_size) / (bid_size + ask_size) * unit, p, 4)
            self.depth(bids, asks, (bid + ask) / 2)
        else:
            for name in ("mid", "spread", "spread_bps", "microprice"):
                self.put(name, 0, None, 0, 0)
            for name in ("bid_depth", "ask_depth", "imbalance", "bid_within", "ask_within",
                         "imbalance_within"):
                for i in range(3):
                    self.put(name, i, None, 0, 0)
        for i, seconds in enumerate(SECONDS):
            self.flow(i, seconds)
        self.volatility()
        return self.out

    def depth(self, bids, asks, mid):
        q = self.quantity_exponent
        unit = Decimal(1).scaleb(q)

        def emit(kind, other, index, parts):
            (b, b_limited), (a, a_limited) = parts
            self.put("bid_" + kind, index, b * unit, q, 0, LIMITED if b_limited else 0)
            self.put("ask_" + kind, index, a * unit, q, 0, LIMITED if a_limited else 0)
            self.put(other, index, Decimal(b - a) / Decimal(b + a) if b + a else None, 0, 6,
                     LIMITED if b_limited or a_limited else 0)

        for i, count in enumerate(LEVELS):
            emit("depth", "imbalance", i, [
                (sum(side.levels[x] for x in shown[:count]),
                 side.bound is not None and len(shown) < count)
                for side, shown in ((self.bids, bids), (self.asks, asks))])
        for i, bps in enumerate(BPS):
            low, high = mid * (10000 - bps) / 10000, mid * (10000 + bps) / 10000
            emit("within", "imbalance_within", i, [
                (sum(self.bids.levels[x] for x in bids if x >= low),
                 self.bids.bound is not None and self.bids.bound > low),
                (sum(self.asks.levels[x] for x in asks if x <= high),
                 self.asks.bound is not None and self.asks.bound < high)])

    def flow(self, index, seconds):
        step = STEPS[seconds]
        now, count = self.now // step, seconds * SECOND // step
        inside = [t for t in self.trades if now - count < t[0] // step <= now]
        total = sum(t[2] for t in inside)
        bought = sum(t[2] for t in inside if t[3] == "buy")
        flags = WARMING if now - self.began // step < count else 0
        unit = Decimal(1).scaleb(self.price_exponent)
        self.put("vwap", index,
                 Decimal(sum(t[1] * t[2] for t in inside)) / total * unit if total else None,
                 self.price_exponent, 4, flags)
        self.put("trade_flow", index, Decimal(2 * bought - total) / total if total else None, 0, 6,
                 flags)

    def volatility(self):
        samples = []
        if self.mids:
            last = (self.now - 1) // SECOND
            first = max(-(-self.mids[0][0] // SECOND), last - 60)
            at = 0
            for second in range(first, last + 1):
                while at + 1 < len(self.mids) and self.mids[at + 1][0] <= second * SECOND:
                    at += 1
                samples.append(Decimal(self.mids[at][1]))
        squares = [((b - a) / a).quantize(Decimal("1e-12"), ROUND_HALF_EVEN) ** 2
                   for a, b in zip(samples, samples[1:])]
        value = sum(squares).sqrt().quantize(Decimal("1e-12"), ROUND_FLOOR) if squares else None
        self.put("volatility", 0, value, -12, 0, 0 if len(samples) > 60 else WARMING)


def sides(words):
    out, at = [], 0
    for _ in range(2):
        count = int(words[at])
        numbers = [int(w) for w in words[at + 1:at + 1 + 2 * count]]
        out.append(list(zip(numbers[::2], numbers[1::2])))
        at += 1 + 2 * count
    return out


def main():
    dump = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
    reference, expected, compared, present, wrong = None, {}, 0, 0, 0
    for number, line in enumerate(dump.stdout, 1):
        word, *rest = line.split()
        if word == "skipped":
            return 77
        if word == "exponents":
            reference = Reference(int(rest[0]), int(rest[1]))
        elif word == "seed":
            for side, levels in zip((reference.bids, reference.asks), sides(rest[1:])):
                side.seed(levels, int(rest[0]))
        elif word == "delta":
            for side, levels in zip((reference.bids, reference.asks), sides(rest[1:])):
                for price, quantity in levels:
                    if quantity:
                        side.levels[price] = quantity
                    else:
                        side.levels.pop(price, None)
            reference.book(int(rest[0]))
        elif word == "trade":
            reference.trade(int(rest[0]), int(rest[1]), int(rest[2]), rest[3])
        elif word in ("restart_trades", "restart_book"):
            getattr(reference, word)()
        elif word == "measure":
            expected = reference.measure(int(rest[0]))
        elif word == "=":
            name, index = rest[0], int(rest[1])
            flags, mantissa, exponent = (int(w) for w in rest[2:])
            want = expected.pop((name, index))
            compared += 1
            present += flags & PRESENT
            got = (flags, mantissa, exponent) if flags & PRESENT else (flags, None, None)
            if want != got:
                wrong += 1
                if wrong <= 10:
                    print(f"line {number}: {name}[{index}] is {got}, calculated {want}")
    if dump.wait() != 0 or expected:
        print("the dump ended early")
        return 1
    print(f"{compared} measures compared, {present} of them present, {wrong} differ")
    return 1 if wrong or present < 1000 else 0


sys.exit(main())
