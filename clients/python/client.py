"""A consumer of Meltica: asks for an order book, joins it late, follows it and proves that it is right.

See docs/clients.md for what it prints, docs/wire-format.md and docs/late-join.md for the rules that it follows.
"""

import argparse
import asyncio
import json
import struct
import sys
import time

import google_crc32c
import nats
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import KeyNotFoundError, NoKeysError

from meltica.v1 import event_pb2 as pb

DIGEST_LEVELS = 20
BUFFERED_DELTAS_MAX = 4096
CHECKPOINT_AGAIN_S = 0.05


class Side:
    """Levels of one side inside the known window, as whole numbers (mantissas)."""

    def __init__(self, sign):
        self.sign = sign  # 1 bids, -1 asks: sign * price is the greater the better
        self.levels = {}
        self.bound = None  # worst sign * price that is known; None: there are no other levels

    def replace(self, levels, whole):
        self.levels = dict(zip(levels.prices, levels.quantities))
        # A side that is not whole is known down to its last level; without any, nothing is known.
        last = self.sign * levels.prices[-1] if levels.prices else float("inf")
        self.bound = None if whole else last

    def change(self, levels):
        for price, quantity in zip(levels.prices, levels.quantities):
            if self.bound is not None and self.sign * price < self.bound:
                continue  # beyond the window: not known to be complete
            if quantity:
                self.levels[price] = quantity
            else:
                self.levels.pop(price, None)

    def packed(self):
        best = sorted(self.levels, key=lambda price: -self.sign * price)[:DIGEST_LEVELS]
        return struct.pack("<I", len(best)) + b"".join(struct.pack("<qq", p, self.levels[p]) for p in best)


class Book:
    def __init__(self):
        self.bids, self.asks = Side(1), Side(-1)
        self.held = False
        self.wanted = True  # a checkpoint can be asked for: the fused book is LIVE, or nobody said otherwise
        self.last = self.epoch = self.wrong = 0
        self.needed = 0  # update id that a checkpoint has to reach: deltas up to it were sent, and are missing here
        self.buffer = []  # deltas that came while no book is held

    def digest(self):
        return google_crc32c.value(self.bids.packed() + self.asks.packed())

    def compare(self, what, version, digest):
        if version == 1 and digest != self.digest():
            print(f"{what} at {self.last} has digest {digest:08x}, own {self.digest():08x}", file=sys.stderr)
            self.wrong += 1
            self.drop()
        return self.held

    def drop(self):
        self.held, self.needed, self.buffer = False, 0, []

    def replace(self, message, bids_whole, asks_whole):
        self.bids.replace(message.bids, bids_whole)
        self.asks.replace(message.asks, asks_whole)
        self.last, self.held = message.last_update_id, True

    def apply(self, event):
        self.bids.change(event.book_delta.bids)
        self.asks.change(event.book_delta.asks)
        self.last = event.source.last
        return self.compare("BOOK_DELTA", event.book_delta.digest_version, event.book_delta.digest)

    def checkpoint(self, c):
        """True: joined. False: it does not fit what is buffered, so it has to be read again."""
        if c.last_update_id < self.needed:
            return False
        first = self.buffer[0] if self.buffer else None
        if c.state != pb.BOOK_LIVE or (first and (c.epoch < first.epoch or c.last_update_id < first.source.first - 1)):
            return False
        self.replace(c, c.bids_whole, c.asks_whole)
        self.epoch = max(self.epoch, c.epoch)
        buffered, self.buffer = self.buffer, []
        return self.compare("checkpoint", c.digest_version, c.digest) and all(
            self.apply(e) for e in buffered if e.source.last > self.last
        )

    def on_delta(self, event):
        source, self.epoch = event.source, event.epoch
        self.wanted = self.wanted or event.book_delta.digest_version == 1
        if self.held and source.last <= self.last:
            return  # the book has it already
        if self.held and source.first <= self.last + 1:
            self.apply(event)
            return
        if self.held or (self.buffer and source.first > self.buffer[-1].source.last + 1):
            self.drop()  # update ids are missing
        self.buffer = self.buffer[-BUFFERED_DELTAS_MAX + 1 :] + [event]

    def on_snapshot(self, s):
        if not s.reset:
            return
        back = self.held and s.last_update_id < self.last
        self.drop()
        if not back:
            depth = s.requested_depth
            self.replace(s, len(s.bids.prices) < depth, len(s.asks.prices) < depth)

    def expect(self, update_id):
        """Drops a book that is below an update id whose deltas have left: they are missing here."""
        if self.held and update_id > self.last:
            self.drop()
            self.needed = update_id

    def on_book(self, b):
        """True: the BOOK is of the same update id as the own book, and equal."""
        self.wanted = b.state == pb.BOOK_LIVE
        if self.wanted:
            self.expect(b.last_update_id)  # deltas leave before the BOOK
        same = self.wanted and self.held and b.digest_version == 1 and b.last_update_id == self.last
        return same and self.compare("BOOK", b.digest_version, b.digest)

    def on_status(self, s):
        if s.kind in (pb.GAP, pb.IDLE):
            self.drop()
        if s.kind in (pb.GAP, pb.IDLE, pb.SYNCING, pb.LIVE):
            self.wanted = s.kind == pb.LIVE
        if s.kind == pb.HEADS:
            for head in s.heads:
                if head.type == pb.BOOK_DELTA:
                    self.expect(head.last)


class Channels:
    """What is numbered: a channel is (instrument, type), its events are (epoch, sequence)."""

    def __init__(self):
        self.last = {}
        self.events = self.gaps = 0

    def is_new(self, event):
        if event.sequence == 0:
            return True  # a notice, not part of a channel
        before = self.last.get(event.type)
        if before and (event.epoch, event.sequence) <= before:
            return False
        self.gaps += self.reach(event.type, event.epoch, event.sequence - 1)
        self.last[event.type] = (event.epoch, event.sequence)
        self.events += 1
        return True

    def reach(self, kind, epoch, sequence):
        """Brings a channel that was seen to a number: how many up to it were sent and did not come."""
        before = self.last.get(kind)
        if not before or epoch < before[0]:
            return 0
        came = before[1] if epoch == before[0] else 0  # a new epoch begins again at 1
        self.last[kind] = (epoch, max(came, sequence))
        return max(came, sequence) - came

    def heads(self, epoch, heads):
        """Counts events that were sent and did not come, also when nothing came after them."""
        for head in heads:
            self.gaps += self.reach(head.type, epoch, head.sequence)

    def end_epoch(self, started, s):
        """Counts what is missing at the end of the epoch before the one that starts."""
        highest = max((epoch for epoch, _ in self.last.values()), default=0)
        if highest == 0 or started <= highest:
            return  # nothing came before, or it is a repeat
        if s.previous_epoch == highest:
            self.heads(highest, s.heads)
        else:
            self.gaps += 1  # the end of the last one seen is unknown

    def on_status(self, epoch, s):
        """Before is_new: EPOCH_STARTED speaks of the epoch before its own."""
        if s.kind == pb.HEADS:
            self.heads(epoch, s.heads)
        elif s.kind == pb.EPOCH_STARTED:
            self.end_epoch(epoch, s)
        elif s.kind == pb.LOST and s.reason == "unrouted":  # nobody had asked for first to last: they are no loss
            self.gaps += self.reach(s.lost_type, epoch, max(s.first, 1) - 1)
            self.reach(s.lost_type, epoch, s.last)


def take(book, channels, event):
    kind = event.WhichOneof("payload")
    if kind == "status":
        channels.on_status(event.epoch, event.status)
    if not channels.is_new(event):
        return
    if kind == "book_delta":
        book.on_delta(event)
    elif kind == "book_snapshot":
        book.on_snapshot(event.book_snapshot)
    elif kind == "book" and book.on_book(event.book):
        print(f"book {event.instrument} last_update_id={book.last} digest={book.digest():08x}")
    elif kind == "status":
        book.on_status(event.status)


async def control(nc, verb, **members):
    reply = await nc.request(f"meltica.control.{verb}", json.dumps(members).encode(), timeout=5)
    answer = json.loads(reply.data)
    if answer["status"] not in ("CONFIRMED", "PENDING"):
        raise SystemExit(f"{verb} was refused: {answer.get('message', answer['status'])}")
    return answer


async def follow(nc, o, subject):
    book, channels, joined = Book(), Channels(), False
    subscription = await nc.subscribe(subject)  # before the checkpoint is read, so that nothing is missed between
    bucket = await nc.jetstream().key_value("meltica-snapshots")
    end, read_at = time.monotonic() + o.seconds, 0.0
    while (now := time.monotonic()) < end:
        if not book.held and book.wanted and now >= read_at:
            read_at = now + CHECKPOINT_AGAIN_S
            try:
                entry = await bucket.get(f"{o.instrument}.checkpoint")
                book.checkpoint(pb.BookCheckpoint.FromString(entry.value))
            except (KeyNotFoundError, NoKeysError):
                pass  # not yet
        if book.held and not joined:
            joined = True
            print(f"joined {o.instrument} epoch={book.epoch} last_update_id={book.last} digest={book.digest():08x}")
        if book.held and o.until_update_id and book.last >= o.until_update_id:
            break
        try:
            message = await subscription.next_msg(timeout=min(CHECKPOINT_AGAIN_S, end - now))
            take(book, channels, pb.Event.FromString(message.data))
        except NatsTimeout:
            pass
    reached = book.held and book.last >= o.until_update_id
    print(
        f"final {o.instrument} epoch={book.epoch} events={channels.events} gaps={channels.gaps}"
        f" last_update_id={book.last} digest={book.digest():08x}"
    )
    return reached and channels.gaps == 0 and book.wrong == 0


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nats-url", default="nats://127.0.0.1:4222")
    parser.add_argument("--instrument", default="BTC-USDT")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--until-update-id", type=int, default=0)
    parser.add_argument("--consumer", default="client-python")
    o = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    nc = await nats.connect(o.nats_url)
    what = dict(consumer=o.consumer, type="BOOK", instruments=[o.instrument])
    answer = await control(nc, "subscribe", ttl_s=o.seconds + 60, **what)
    print(f"subscribed {o.instrument} {answer['status']} {answer['channels'][0]}")
    right = await follow(nc, o, answer["channels"][0])
    await control(nc, "unsubscribe", **what)
    await nc.close()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
