// From bytes to events. glance() reads what every event of the flow is counted by and skips the
// rest; decode() reads all, for the one instrument that is shown.
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  type BookCheckpoint,
  type Event,
  EventSchema,
  EventType,
  type SnapshotRecord,
  SnapshotRecordSchema,
} from "../gen/meltica/v1/event_pb";

export type { BookCheckpoint, Event, SnapshotRecord };
export { EventType };

/** Nanoseconds after the Adapter received it; undefined where the stamp is not there. */
export interface Stages {
  received: bigint;
  exchange: number | undefined;
  adapted: number | undefined;
  dispatched: number | undefined;
  conducted: number | undefined;
  published: number | undefined;
}

export interface Glance {
  instrument: string;
  type: number;
  epoch: bigint;
  sequence: bigint;
  quality: number;
  throttled: number;
  stages: Stages;
  /** BOOK: its BookState; STATUS: its StatusKind; else 0. */
  word: number;
}

const PAYLOAD_BOOK = 27;
const PAYLOAD_STATUS = 29;

function glanceStamps(reader: BinaryReader, end: number, out: Stages): void {
  while (reader.pos < end) {
    const [field, wire] = reader.tag();
    switch (field) {
      case 1:
        out.received = BigInt(reader.fixed64());
        break;
      case 2:
        out.exchange = Number(reader.sint64());
        break;
      case 3:
        out.adapted = Number(reader.sint64());
        break;
      case 4:
        out.dispatched = Number(reader.sint64());
        break;
      case 5:
        out.conducted = Number(reader.sint64());
        break;
      case 6:
        out.published = Number(reader.sint64());
        break;
      default:
        reader.skip(wire, field);
    }
  }
}

/** The number in one field of the message that ends at `end`; 0 where it is not there. */
function glanceWord(reader: BinaryReader, end: number, wanted: number): number {
  let word = 0;
  while (reader.pos < end) {
    const [field, wire] = reader.tag();
    if (field === wanted && wire === WireType.Varint) {
      word = reader.uint32();
    } else {
      reader.skip(wire, field);
    }
  }
  return word;
}

/** Whether it can be an instrument: such a one is part of subjects, and no longer than it says in
 * docs/wire-format.md. */
export function isToken(text: string): boolean {
  return /^[A-Za-z0-9_=-]{1,96}$/.test(text);
}

/** undefined: these bytes are no event. */
export function glance(bytes: Uint8Array): Glance | undefined {
  const out: Glance = {
    instrument: "",
    type: 0,
    epoch: 0n,
    sequence: 0n,
    quality: 0,
    throttled: 0,
    stages: {
      received: 0n,
      exchange: undefined,
      adapted: undefined,
      dispatched: undefined,
      conducted: undefined,
      published: undefined,
    },
    word: 0,
  };
  try {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      switch (field) {
        case 1:
          out.instrument = reader.string();
          break;
        case 2:
          out.type = reader.int32();
          break;
        case 4:
          out.epoch = BigInt(reader.uint64());
          break;
        case 5:
          out.sequence = BigInt(reader.uint64());
          break;
        case 8:
          glanceStamps(reader, reader.uint32() + reader.pos, out.stages);
          break;
        case 9:
          out.quality = reader.uint32();
          break;
        case 13:
          out.throttled = Number(reader.uint64());
          break;
        case PAYLOAD_BOOK:
          out.word = glanceWord(reader, reader.uint32() + reader.pos, 6);
          break;
        case PAYLOAD_STATUS:
          out.word = glanceWord(reader, reader.uint32() + reader.pos, 1);
          break;
        default:
          reader.skip(wire, field);
      }
    }
  } catch {
    return undefined;
  }
  return !isToken(out.instrument) || out.type === 0 ? undefined : out;
}

/** undefined: these bytes are no event. */
export function decode(bytes: Uint8Array): Event | undefined {
  try {
    return fromBinary(EventSchema, bytes);
  } catch {
    return undefined;
  }
}

/** The BOOK in a record of the bucket meltica-snapshots. */
export function decodeRecord(bytes: Uint8Array): Event | undefined {
  try {
    return decode(fromBinary(SnapshotRecordSchema, bytes).event);
  } catch {
    return undefined;
  }
}

const QUALITY_WORDS = [
  "stale",
  "late",
  "backfilled",
  "cache unavailable",
  "depth limited",
  "warming",
  "conflated",
  "after gap",
];

/** A word for each bit that is set; a bit that is not known is named by its number. */
export function qualityWords(quality: number): string[] {
  const words: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if (((quality >>> bit) & 1) === 1) {
      words.push(QUALITY_WORDS[bit] ?? `bit ${bit}`);
    }
  }
  return words;
}

export const TYPE_NAMES = [
  "?",
  "TICKER",
  "BBO",
  "TRADE",
  "AGG_TRADE",
  "KLINE",
  "BOOK_DELTA",
  "BOOK_SNAPSHOT",
  "BOOK",
  "INSTRUMENT",
  "STATUS",
] as const;
