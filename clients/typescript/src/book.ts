// The book that this consumer keeps, and the numbers of the channels.

import {
  type Book as Published,
  type BookCheckpoint,
  type BookDelta,
  type BookSnapshot,
  BookState,
  type Event,
  EventType,
  type Head,
  type Levels,
  type Status,
  StatusKind,
} from "./gen/meltica/v1/event_pb.js";

const DIGEST_LEVELS = 20;
const BUFFERED_DELTAS_MAX = 4096;

export interface DeltaEvent {
  epoch: bigint;
  first: bigint;
  last: bigint;
  delta: BookDelta;
}

export const hex = (digest: number): string => digest.toString(16).padStart(8, "0");

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return crc;
});

function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff]!;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

// Levels of one side inside the known window, as whole numbers (mantissas): bigint, since number is a double.
class Side {
  private levels = new Map<bigint, bigint>();
  private bound: bigint | undefined; // worst sign * price that is known; undefined: see whole
  private whole = false; // there are no other levels

  // sign: 1 bids, -1 asks; sign * price is the greater the better
  constructor(private readonly sign: bigint) {}

  replace(levels: Levels | undefined, whole: boolean): void {
    const prices = levels?.prices ?? [];
    this.levels = new Map(prices.map((price, i) => [price, levels!.quantities[i] ?? 0n]));
    this.whole = whole;
    // A side that is not whole is known down to its last level; without any, nothing is known.
    const last = prices.at(-1);
    this.bound = last === undefined ? undefined : this.sign * last;
  }

  private knows(price: bigint): boolean {
    return this.whole || (this.bound !== undefined && this.sign * price >= this.bound);
  }

  change(levels: Levels | undefined): void {
    levels?.prices.forEach((price, i) => {
      const quantity = levels.quantities[i] ?? 0n;
      if (!this.knows(price)) {
        return; // beyond the window: not known to be complete
      }
      if (quantity === 0n) {
        this.levels.delete(price);
      } else {
        this.levels.set(price, quantity);
      }
    });
  }

  packed(): Uint8Array {
    const best = [...this.levels.keys()]
      .sort((a, b) => (this.sign * a > this.sign * b ? -1 : 1))
      .slice(0, DIGEST_LEVELS);
    const view = new DataView(new ArrayBuffer(4 + 16 * best.length));
    view.setUint32(0, best.length, true);
    best.forEach((price, i) => {
      view.setBigInt64(4 + 16 * i, price, true);
      view.setBigInt64(12 + 16 * i, this.levels.get(price)!, true);
    });
    return new Uint8Array(view.buffer);
  }
}

export class Book {
  private readonly bids = new Side(1n);
  private readonly asks = new Side(-1n);
  private buffer: DeltaEvent[] = []; // that came while no book is held
  held = false;
  wanted = true; // a checkpoint can be asked for: the fused book is LIVE, or nobody said otherwise
  last = 0n;
  private needed = 0n; // update id that a checkpoint has to reach: deltas up to it were sent, and are missing here
  epoch = 0n;
  wrong = 0;

  digest(): number {
    return crc32c(Buffer.concat([this.bids.packed(), this.asks.packed()]));
  }

  private compare(what: string, version: number, digest: number): boolean {
    const own = this.digest();
    if (version === 1 && digest !== own) {
      console.error(`${what} at ${this.last} has digest ${hex(digest)}, own ${hex(own)}`);
      this.wrong++;
      this.drop();
    }
    return this.held;
  }

  private drop(): void {
    this.held = false;
    this.needed = 0n;
    this.buffer = [];
  }

  private replace(
    from: { bids?: Levels; asks?: Levels; lastUpdateId: bigint },
    bidsWhole: boolean,
    asksWhole: boolean,
  ): void {
    this.bids.replace(from.bids, bidsWhole);
    this.asks.replace(from.asks, asksWhole);
    this.last = from.lastUpdateId;
    this.held = true;
  }

  private apply(e: DeltaEvent): boolean {
    this.bids.change(e.delta.bids);
    this.asks.change(e.delta.asks);
    this.last = e.last;
    return this.compare("BOOK_DELTA", e.delta.digestVersion, e.delta.digest);
  }

  // Joins, unless it does not fit what is buffered: then it has to be read again.
  checkpoint(c: BookCheckpoint): void {
    if (c.lastUpdateId < this.needed) {
      return;
    }
    const first = this.buffer[0];
    if (c.state !== BookState.BOOK_LIVE || (first && (c.epoch < first.epoch || c.lastUpdateId < first.first - 1n))) {
      return;
    }
    this.replace(c, c.bidsWhole, c.asksWhole);
    this.epoch = c.epoch > this.epoch ? c.epoch : this.epoch;
    const buffered = this.buffer;
    this.buffer = [];
    let right = this.compare("checkpoint", c.digestVersion, c.digest);
    for (const e of buffered) {
      right = right && (e.last <= this.last || this.apply(e));
    }
  }

  onDelta(e: DeltaEvent): void {
    this.epoch = e.epoch;
    this.wanted ||= e.delta.digestVersion === 1;
    if (this.held && e.last <= this.last) {
      return; // the book has it already
    }
    if (this.held && e.first <= this.last + 1n) {
      this.apply(e);
      return;
    }
    const before = this.buffer.at(-1);
    if (this.held || (before && e.first > before.last + 1n)) {
      this.drop(); // update ids are missing
    } else if (this.buffer.length === BUFFERED_DELTAS_MAX) {
      this.buffer.shift();
    }
    this.buffer.push(e);
  }

  onSnapshot(s: BookSnapshot): void {
    if (!s.reset) {
      return;
    }
    const back = this.held && s.lastUpdateId < this.last;
    this.drop();
    if (!back) {
      const whole = (side: Levels | undefined): boolean => (side?.prices.length ?? 0) < s.requestedDepth;
      this.replace(s, whole(s.bids), whole(s.asks));
    }
  }

  // Drops a book that is below an update id whose deltas have left: they are missing here.
  private expect(updateId: bigint): void {
    if (this.held && updateId > this.last) {
      this.drop();
      this.needed = updateId;
    }
  }

  // True when the BOOK is of the same update id as the own book, and equal.
  onBook(b: Published): boolean {
    this.wanted = b.state === BookState.BOOK_LIVE;
    if (this.wanted) {
      this.expect(b.lastUpdateId); // deltas leave before the BOOK
    }
    const same = this.wanted && this.held && b.digestVersion === 1 && b.lastUpdateId === this.last;
    return same && this.compare("BOOK", b.digestVersion, b.digest);
  }

  onStatus(s: Status): void {
    if (s.kind === StatusKind.GAP || s.kind === StatusKind.IDLE) {
      this.drop();
    }
    if ([StatusKind.GAP, StatusKind.IDLE, StatusKind.SYNCING, StatusKind.LIVE].includes(s.kind)) {
      this.wanted = s.kind === StatusKind.LIVE;
    }
    if (s.kind === StatusKind.HEADS) {
      for (const head of s.heads.filter((head) => head.type === EventType.BOOK_DELTA)) {
        this.expect(head.last);
      }
    }
  }
}

// What is numbered: a channel is (instrument, type), its events are (epoch, sequence).
export class Channels {
  private readonly last = new Map<EventType, { epoch: bigint; sequence: bigint }>();
  events = 0n;
  gaps = 0n;

  // False for a repeat.
  isNew(e: Event): boolean {
    if (e.sequence === 0n) {
      return true; // a notice, not part of a channel
    }
    const before = this.last.get(e.type);
    if (before && (e.epoch < before.epoch || (e.epoch === before.epoch && e.sequence <= before.sequence))) {
      return false;
    }
    this.gaps += this.reach(e.type, e.epoch, e.sequence - 1n);
    this.last.set(e.type, { epoch: e.epoch, sequence: e.sequence });
    this.events++;
    return true;
  }

  // Brings a channel that was seen to a number: how many up to it were sent and did not come.
  private reach(type: EventType, epoch: bigint, sequence: bigint): bigint {
    const before = this.last.get(type);
    if (!before || epoch < before.epoch) {
      return 0n;
    }
    const came = epoch === before.epoch ? before.sequence : 0n; // a new epoch begins again at 1
    const missing = sequence > came ? sequence - came : 0n;
    this.last.set(type, { epoch, sequence: came + missing });
    return missing;
  }

  // Counts events that were sent and did not come, also when nothing came after them.
  private heads(epoch: bigint, heads: Head[]): void {
    for (const head of heads) {
      this.gaps += this.reach(head.type, epoch, head.sequence);
    }
  }

  // Counts what is missing at the end of the epoch before the one that starts.
  private endEpoch(started: bigint, s: Status): void {
    let highest = 0n;
    for (const { epoch } of this.last.values()) {
      highest = epoch > highest ? epoch : highest;
    }
    if (highest === 0n || started <= highest) {
      return; // nothing came before, or it is a repeat
    }
    if (s.previousEpoch === highest) {
      this.heads(highest, s.heads);
    } else {
      this.gaps++; // the end of the last one seen is unknown
    }
  }

  // Before isNew: EPOCH_STARTED speaks of the epoch before its own.
  onStatus(epoch: bigint, s: Status): void {
    if (s.kind === StatusKind.HEADS) {
      this.heads(epoch, s.heads);
    } else if (s.kind === StatusKind.EPOCH_STARTED) {
      this.endEpoch(epoch, s);
    } else if (s.kind === StatusKind.LOST && s.reason === "unrouted") {
      // Nobody had asked for first to last: they are no loss.
      this.gaps += this.reach(s.lostType, epoch, s.first > 0n ? s.first - 1n : 0n);
      this.reach(s.lostType, epoch, s.last);
    }
  }
}
