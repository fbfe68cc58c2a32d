// What is known of each instrument from the flow: bounded, and cheap for each event. Pure.
import { BookState, StatusKind } from "../gen/meltica/v1/event_pb";
import { atPlaces, format, placesUsed } from "./decimal";
import { EventRate } from "./rates";
import { decode, EventType, type Glance } from "./wire";

export const INSTRUMENTS_MAX = 4_000;
/** Of an event that is kept for its price: far more than one of ours has. */
const PRICED_BYTES_MAX = 1_024;

/** Kinds of STATUS that are states of the book. */
const STATES: Record<number, number> = {
  [StatusKind.LIVE]: BookState.BOOK_LIVE,
  [StatusKind.GAP]: BookState.BOOK_GAP,
  [StatusKind.STALE]: BookState.BOOK_STALE,
  [StatusKind.SYNCING]: BookState.BOOK_SYNCING,
  [StatusKind.IDLE]: BookState.BOOK_IDLE,
};

export class Row {
  readonly rate = new EventRate(12);
  events = 0;
  lastMs = 0;
  /** BookState; 0: none has come. */
  state = 0;
  sourceDown = false;
  lost = 0;
  /** Last TRADE or AGG_TRADE, else BBO, undecoded: only what is on the screen is ever decoded. */
  private priced: Uint8Array | undefined;
  private pricedType = 0;
  private text: string | undefined;
  /** Digits behind the point, the most so far. */
  private places = 0;

  constructor(readonly instrument: string) {}

  take(glance: Glance, bytes: Uint8Array, nowMs: number): void {
    this.events++;
    this.lastMs = nowMs;
    this.rate.add(nowMs);
    const trade = glance.type === EventType.TRADE || glance.type === EventType.AGG_TRADE;
    const priced = trade || (glance.type === EventType.BBO && (this.pricedType === EventType.BBO || !this.priced));
    if (priced && bytes.length <= PRICED_BYTES_MAX) {
      this.priced = bytes.slice();
      this.pricedType = glance.type;
      this.text = undefined;
    } else if (glance.type === EventType.BOOK) {
      this.state = glance.word;
    } else if (glance.type === EventType.STATUS) {
      this.status(glance.word);
    }
  }

  private status(kind: number): void {
    this.state = STATES[kind] ?? this.state;
    if (kind === StatusKind.LOST) {
      this.lost++;
    } else if (kind === StatusKind.SOURCE_DOWN || kind === StatusKind.SOURCE_UP) {
      this.sourceDown = kind === StatusKind.SOURCE_DOWN;
    }
  }

  /** Price of the last trade, else the best bid; "" while there is neither. */
  price(): string {
    if (this.text === undefined && this.priced !== undefined) {
      const payload = decode(this.priced)?.payload;
      let price = undefined;
      if (payload?.case === "trade" || payload?.case === "aggTrade") {
        price = payload.value.price;
      } else if (payload?.case === "bbo") {
        price = payload.value.bidPrice;
      }
      const text = price === undefined ? "" : format(price.mantissa, price.exponent);
      this.places = Math.max(this.places, placesUsed(text));
      this.text = atPlaces(text, this.places);
    }
    return this.text ?? "";
  }
}

export class Board {
  private readonly rows = new Map<string, Row>();
  /** Names beyond the bound: counted, not kept. */
  refused = 0;

  take(glance: Glance, bytes: Uint8Array, nowMs: number): void {
    this.row(glance.instrument)?.take(glance, bytes, nowMs);
  }

  private row(instrument: string): Row | undefined {
    let row = this.rows.get(instrument);
    if (row === undefined) {
      if (this.rows.size >= INSTRUMENTS_MAX) {
        this.refused++;
        return undefined;
      }
      row = new Row(instrument);
      this.rows.set(instrument, row);
    }
    return row;
  }

  get(instrument: string): Row | undefined {
    return this.rows.get(instrument);
  }

  get size(): number {
    return this.rows.size;
  }

  /** Names with the text in them, in order; the first `limit`. */
  list(filter: string, limit: number): Row[] {
    const wanted = filter.trim().toUpperCase();
    return [...this.rows.values()]
      .filter((row) => row.instrument.toUpperCase().includes(wanted))
      .sort((a, b) => (a.instrument < b.instrument ? -1 : a.instrument > b.instrument ? 1 : 0))
      .slice(0, limit);
  }
}

/** BASE-QUOTE for people: a token writes what is no letter as = and two digits. */
export function instrumentName(token: string): string {
  try {
    return decodeURIComponent(token.replace(/%/g, "%25").replace(/=([0-9A-F]{2})/g, "%$1"));
  } catch {
    return token;
  }
}
