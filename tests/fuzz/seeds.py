#!/usr/bin/env python3
"""Writes seed corpora of the fuzzers: synthetic messages, and REST bodies of the project's own exchange.

usage: seeds.py CORPUS [HTTP]   HTTP: a running meltica-exchange-sim --synthetic --symbols 2 --levels 20
"""
import gzip
import os
import struct
import sys
import urllib.request

TIME = 1700000000000000000
TYPES = {"TICKER": 1, "BBO": 2, "TRADE": 3, "AGG_TRADE": 4, "KLINE": 5, "BOOK_DELTA": 6, "BOOK_SNAPSHOT": 7,
         "BOOK": 8, "INSTRUMENT": 9, "STATUS": 10}


# ---- the wire of protobuf ----

def varint(v):
    out = b""
    v &= (1 << 64) - 1
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def zigzag(v):
    return v << 1 if v >= 0 else (-v << 1) - 1


def uint(field, v):
    return varint(field << 3) + varint(v)


def sint(field, v):
    return uint(field, zigzag(v))


def fixed64(field, v):
    return varint(field << 3 | 1) + struct.pack("<Q", v)


def fixed32(field, v):
    return varint(field << 3 | 5) + struct.pack("<I", v)


def text(field, v):
    v = v.encode() if isinstance(v, str) else v
    return varint(field << 3 | 2) + varint(len(v)) + v


def decimal(field, mantissa, exponent=-8):
    return text(field, sint(1, mantissa) + sint(2, exponent))


def levels(field, pairs):
    prices = b"".join(varint(zigzag(p)) for p, _ in pairs)
    quantities = b"".join(varint(zigzag(q)) for _, q in pairs)
    return text(field, sint(1, -2) + sint(2, -5) + text(3, prices) + text(4, quantities))


def block(b):
    return struct.pack("<H", len(b)) + b


# ---- messages ----

BIDS, ASKS = [(100, 5), (99, 7), (98, 1)], [(101, 4), (102, 9)]


def payload(kind, at):
    if kind == "TICKER":
        return b"".join(decimal(i, 100 * i) for i in range(1, 15)) + fixed64(15, TIME) + fixed64(16, TIME + 9) + \
            sint(17, -1) + sint(18, -1) + uint(19, 7)
    if kind == "BBO":
        return decimal(1, 100) + decimal(2, 5) + decimal(3, 101) + decimal(4, 6)
    if kind == "TRADE":
        return sint(1, at) + decimal(2, 10050) + decimal(3, 300) + uint(4, 1) + fixed64(5, TIME)
    if kind == "AGG_TRADE":
        return sint(1, at) + sint(2, at) + sint(3, at + 1) + decimal(4, 10050) + decimal(5, 3) + uint(6, 2) + \
            fixed64(7, TIME)
    if kind == "KLINE":
        return text(1, "1m") + fixed64(2, TIME) + fixed64(3, TIME + 60) + \
            b"".join(decimal(i, 1000 + i) for i in range(4, 12)) + uint(12, 3) + sint(13, 1) + sint(14, 3) + uint(15, 1)
    if kind == "BOOK_DELTA":
        return levels(1, [(100, at), (97, 0)]) + levels(2, [(101, at)])
    if kind == "BOOK_SNAPSHOT":
        return sint(1, at) + levels(2, BIDS) + levels(3, ASKS) + uint(4, 100)
    if kind == "INSTRUMENT":
        return text(1, "BTCUSDT") + text(2, "BTC") + text(3, "USDT") + text(4, "TRADING") + decimal(5, 1, -2) + \
            decimal(6, 1, -5) + decimal(7, 5, 0) + sint(8, -2) + sint(9, -5)
    return uint(1, 3) + text(2, "closed")


def native(kind, at, token="BTC-USDT", function=""):
    return (text(9, function) if function else b"") + text(1, token) + uint(2, 1) + text(3, bytes(range(16))) + fixed64(4, TIME) + sint(5, -1000) + sint(6, 900) + \
        sint(7, at) + sint(8, at) + uint(10, 1) + text(TYPES[kind] + 19, payload(kind, at))


def stamps(received=TIME):
    return fixed64(1, received) + b"".join(sint(i, 1000 * i) for i in range(2, 7))


def event(kind, sequence, body=None, received=TIME):
    return text(1, "BTC-USDT") + uint(2, TYPES[kind]) + fixed64(3, 77) + uint(4, 7) + uint(5, sequence) + \
        text(6, uint(1, 1) + sint(2, sequence) + sint(3, sequence)) + text(8, stamps(received)) + \
        text(TYPES[kind] + 19, body if body is not None else payload(kind, sequence))


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def digest():
    out = b""
    for side in (BIDS, ASKS):
        out += struct.pack("<I", len(side)) + b"".join(struct.pack("<qq", p, q) for p, q in side)
    return crc32c(out)


def measure(v):
    return text(1, sint(1, v) + sint(2, -2))


def book():
    analytics = text(1, measure(10050)) + text(2, measure(1)) + text(5, measure(5)) * 3 + text(13, uint(2, 2))
    return levels(1, BIDS) + levels(2, ASKS) + sint(3, 100) + fixed32(4, digest()) + uint(5, 1) + uint(6, 3) + \
        sint(7, 90) + fixed64(8, TIME) + uint(9, 4) + text(10, analytics) + uint(11, 3) + uint(12, 2)


def record():
    return text(1, event("BOOK", 40, book())) + uint(2, 7) + sint(3, 100) + fixed64(4, TIME) + \
        text(5, uint(1, 6) + uint(2, 31) + sint(3, 100)) + sint(6, 90) + fixed64(7, TIME) + uint(8, 4) + uint(9, 3)


def checkpoint():
    return text(1, "BTC-USDT") + uint(2, 7) + sint(3, 100) + levels(4, BIDS) + levels(5, ASKS) + \
        fixed32(6, digest()) + uint(7, 1) + fixed64(8, TIME) + text(9, uint(1, 6) + uint(2, 31) + sint(3, 100)) + \
        sint(10, 90) + fixed64(11, TIME) + uint(12, 3) + uint(13, 1) + uint(14, 1)


def comparison(field, op, value):
    return text(1, field) + text(2, op) + text(3, value)


def control(name, kind, pattern, active=True, lane=False):
    return text(1, name) + text(2, "desk") + text(3, "desk-7") + uint(4, TYPES[kind]) + text(5, pattern) + \
        uint(6, int(active)) + text(7, "subscribe") + text(8, "r1") + fixed64(9, TIME) + \
        (uint(11, 1) + uint(12, 100) + text(13, comparison("price", "ge", "0.01")) if lane else b"")


def subscription(name, kind, pattern, lane=False):
    return text(1, name) + uint(2, TYPES[kind]) + text(3, pattern) + \
        (text(5, "desk") + uint(10, 1) + uint(11, 100) + text(12, comparison("quantity", "lt", "1"))
         if lane else b"")


def table():
    return uint(1, 3) + fixed64(2, 9) + text(4, subscription("a", "TRADE", "*")) + \
        text(4, subscription("lane", "TRADE", "BTC-*", True)) + text(4, subscription("b", "BOOK", "BTC-USDT")) + uint(8, 1)


def plan_status():
    problem = uint(1, 1) + text(2, "A-B") + text(3, "FAILED") + text(4, "unknown_symbol")
    return text(1, "adapter-1") + fixed64(2, 5) + uint(3, 9) + uint(4, 1) + uint(7, 2) + uint(8, 1) + text(9, problem)


def batch(*events):
    return b"".join(text(1, e) for e in events)


def flow():
    """Steps of fuzz_flow: a byte (3 bits what, 5 bits how), and blocks."""
    def step(what, how=0, *blocks):
        return bytes([what | how << 3]) + b"".join(block(b) for b in blocks)
    plain = [k for k in TYPES if k != "BOOK"]
    yield "types", b"".join(step(0, 0, batch(native(k, 10))) for k in plain)
    yield "book", step(5, 1) + step(0, 0, batch(native("BOOK_DELTA", 10), native("BOOK_SNAPSHOT", 10),
                                                native("BOOK_DELTA", 11))) + \
        step(2, 3) + step(3) + step(0, 0, batch(native("BOOK_DELTA", 12))) + step(2, 31) + step(3, 1) + step(2, 31)
    yield "gap", step(0, 0, batch(native("BOOK_DELTA", 10), native("BOOK_SNAPSHOT", 10))) + \
        step(1, 0, batch(native("BOOK_DELTA", 15))) + step(2, 31) + step(6)
    yield "lane", step(4, 0, control("s1", "TRADE", "BTC-*", True, True)) + \
        step(0, 0, batch(native("TRADE", 1), native("TRADE", 2))) + step(2, 0) + step(4, 0, control("s1", "TRADE", "*", False))
    yield "trades", step(0, 0, batch(native("TRADE", 10), native("TRADE", 15))) + step(2, 31) + step(3) + \
        step(0, 0, batch(*(native("TRADE", i, function="historicalTrades") for i in (11, 12, 14, 15)))) + \
        step(0, 0, batch(native("AGG_TRADE", 5), native("AGG_TRADE", 9000), native("AGG_TRADE", 9002))) + step(2, 31) + step(3, 6)
    yield "take_over", step(7, 0, record(), checkpoint()) + step(0, 0, batch(native("BOOK_DELTA", 101))) + step(2, 9)


def seeds():
    yield from (("flow", name, data) for name, data in flow())
    for kind in TYPES:
        if kind != "BOOK":
            yield "native", "native_" + kind.lower(), native(kind, 10)
    yield "event", "book_live", event("BOOK", 40, book())
    yield "event", "record_of_book", record()
    yield "event", "checkpoint_whole", checkpoint()
    yield "filter", "trade", b"\x03price\nge\n0.01\n" + event("TRADE", 1)
    yield "filter", "book", b"\x08state\neq\nLIVE\n" + event("BOOK", 1, book())
    yield "filter", "mid", b"\x08mid\nlt\n100.25\n" + event("BOOK", 1, book())
    yield "filter", "kline", b"\x05closed\neq\ntrue\n" + event("KLINE", 1)
    yield "routing", "lanes", block(table()) + block(event("TRADE", 1)) + block(event("TRADE", 2)) + \
        block(event("BOOK", 1, book()))
    yield "live", "records", b"c" + block(control("s1", "TRADE", "BTC-*", True, True)) + b"c" + \
        block(control("s2", "BOOK", "A-B")) + b"s" + block(plan_status()) + b"r" + block(text(1, "A-B") + uint(2, 100)) + \
        b"r" + block(text(1, "BTC-USDT") + uint(4, 3) + uint(5, 10) + uint(6, 19)) + b"c" + block(control("s1", "TRADE", "BTC-*", False))
    yield "heads", "request", b"q" + uint(1, 9) + uint(2, 1)
    heads = text(1, "BTC-USDT") + uint(2, 3) + text(3, uint(1, 5) + uint(2, 8) + sint(3, 100)) + \
        text(4, text(1, "1m") + fixed64(2, TIME) + fixed64(3, TIME + 1))
    yield "heads", "reply", b"r" + text(1, heads) + uint(3, 5)
    yield "rest", "headers", b"h30\n1200\n429\n\n5\n200\nWed, 21 Oct 2015 07:28:00 GMT\nmany\n418\n99999999999\n-1\n503\n"
    fetch = text(1, "depth") + text(2, "BTC-USDT") + uint(3, 100) + uint(4, 7) + uint(5, 1)
    yield "rest", "fetches", b"f" + b"\x00" + block(fetch) + b"\x01" + block(fetch) + b"\x02" + \
        block(text(1, "ticker/24hr"))
    yield "rest", "error", b'd{"code":-1121,"msg":"Invalid symbol."}'
    yield "rest", "cut", b'd{"lastUpdateId":7,"bids":[["1.0","2.0"]]'
    yield "rest", "odd_price", b's[{"id":1,"price":"1e5","qty":"1","time":5,"isBuyerMaker":true}]'
    yield "rest", "trades", b's[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",' \
        b'"time":1499865549590,"isBuyerMaker":true,"isBestMatch":true},{"id":28458,"price":"4.1","qty":"1",' \
        b'"quoteQty":"4.1","time":1499865549591,"isBuyerMaker":false}]'
    yield "rest", "ledger", b"w" + fixed64(1, 7) + uint(2, 1700000000) + text(3, b"".join(varint(n % 50) for n in range(63))) + \
        uint(4, 1700000000000) + text(5, fixed64(1, 9) + uint(2, 1700000000) + text(3, varint(0) + varint(500) + varint(1000)))
    yield "rest", "aggregates", b'a[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27785,' \
        b'"T":1498793709153,"m":true,"M":true}]'
    lines = b'1700000000000000000 {"stream":"btcusdt@trade","data":{}}\r\n1700000000.25: {"a":1}\n' \
        b'https://x/api/v3/depth?symbol=A -> 1700000001.5: {"lastUpdateId":1}\n{"b":2}\nwss://x\nconfiguration: y\n[1]\n'
    yield "recording", "lines", lines
    yield "recording", "packed", gzip.compress(lines, mtime=0)
    yield "events_file", "three", batch(event("TRADE", 1), event("BBO", 1, None, TIME + 10 ** 9), event("BOOK", 1, book()))
    for name, text_of in (("count", "c1500"), ("hours", "s12h"), ("days", "s7d"), ("date", "s2026-01-31"),
                          ("moment", "s2026-01-31T12:00:00Z")):
        yield "numbers", name, text_of.encode()
    yield "trace", "parent", b"p00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    yield "trace", "later_version", b"pcc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what"
    yield "trace", "answer", b"a" + text(1, uint(1, 3) + text(2, "too old"))
    yield "trace", "variables", b"vOTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4318/x\nOTEL_TRACES_SAMPLER=" \
        b"parentbased_traceidratio\nOTEL_TRACES_SAMPLER_ARG=0.25\nOTEL_RESOURCE_ATTRIBUTES=a=b,c=%20d\n" \
        b"OTEL_EXPORTER_OTLP_HEADERS=x-key=1\nOTEL_BSP_MAX_QUEUE_SIZE=64\nOTEL_BSP_SCHEDULE_DELAY=100"
    yield "url", "exchange", b"wwss://stream.example:9443/stream?timeUnit=MICROSECOND"
    yield "url", "six", b"wws://[::1]:80/ws"
    yield "url", "server", b"ntls://user:password@nats.example:4222"
    yield "url", "credentials", (b"c-----BEGIN NATS USER JWT-----\n"
                                 b"eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ."
                                 b"eyJleHAiOjE3ODUwMDAwMDAsInN1YiI6IlUiLCJuYXRzIjp7InR5cGUiOiJ1c2VyIiwidmVyc2lvbiI6Mn19."
                                 b"c2ln\n"
                                 b"------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n"
                                 b"SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n------END USER NKEY SEED------\n")
    yield "url", "seed", b"kSUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
    yield "answer", "stored", b'{"stream":"S", "seq":18446744073709551615 , "duplicate" : true,"domain":"d"}'
    yield "answer", "refused", b'{"type":"t","error":{"code":400,"err_code":10071,"description":"\\"seq\\":5"},"seq":0}'
    yield "answer", "message", b'{"type":"t","message":{"subject":"s.a","seq":8,"data":"eA==","x":[{}, [1,-2.5e3],null]}}'
    yield "answer", "code", b"404"
    yield "asked", "claim", b"c" + text(1, "conductor-0") + fixed64(2, 7) + fixed64(3, TIME)
    yield "asked", "claim_of_nobody", b"c" + text(1, "conductor-0") + fixed64(3, TIME)
    yield "asked", "claim_long", b"c" + text(1, "n" * 256) + fixed64(2, 7)
    yield "asked", "apply_long", b"a" + text(2, "s" * 64)
    yield "asked", "apply_of_nothing", b"a" + uint(1, 9)
    yield "asked", "applied_unknown", b"d" + text(1, "DONE")
    yield "asked", "mark_of_nobody", b"m" + uint(1, 12)
    yield "asked", "apply", b"a" + uint(1, 9) + text(2, "s1") + uint(3, 1) + uint(4, 1500) + \
        text(5, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    topic = uint(1, 1) + text(2, "A-B") + text(3, "FAILED") + text(4, "unknown_symbol")
    yield "asked", "applied", b"d" + text(1, "FAILED") + text(2, "refused \"by\" it") + uint(3, 4) + uint(4, 1) + \
        uint(5, 1) + text(6, topic)
    yield "asked", "mark", b"m" + uint(1, 12) + fixed64(2, 7)
    yield "asked", "table", b"t" + text(1, "A-B") + text(1, "BTC-*") + text(1, "*")
    yield "asked", "fetch", b"f" + uint(1, 0) + text(2, "no_budget")
    yield "asked", "resync", b"r" + uint(1, 1)
    yield "listing", "small", b'{"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,' \
        b'"limit":6000}],"symbols":[{"symbol":"ABC","status":"HALT","baseAsset":"A","quoteAsset":"BC","filters":[]},' \
        b'{"symbol":"ABC"},{"symbol":"\xe5\xb8\x81\xe5\xae\x89USDT","status":"TRADING","baseAsset":"\xe5\xb8\x81",' \
        b'"quoteAsset":"USDT","baseAssetPrecision":99,"quotePrecision":2}]}'


def bodies(http):
    def get(path):
        with urllib.request.urlopen(http + "/api/v3/" + path, timeout=5) as answer:
            return answer.read()
    yield "listing", "exchange", get("exchangeInfo")
    yield "rest", "depth", b"d" + get("depth?symbol=SYM0001USDT&limit=5")
    yield "rest", "ticker", b"t" + get("ticker/24hr?symbol=SYM0001USDT")
    yield "rest", "tickers", b"t" + get("ticker/24hr")


def main():
    corpus = sys.argv[1]
    made = list(seeds()) + (list(bodies(sys.argv[2])) if len(sys.argv) > 2 else [])
    for harness, name, data in made:
        os.makedirs(os.path.join(corpus, harness), exist_ok=True)
        with open(os.path.join(corpus, harness, name), "wb") as to:
            to.write(data)
    print(len(made), "seeds")


main()
