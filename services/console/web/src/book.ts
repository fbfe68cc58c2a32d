// The book that is shown: which events change it, whether its levels may be trusted, and what its
// ladder and depth chart say. Pure.
import {
  type Analytics,
  type Book,
  BookState,
  type Levels,
  type Measure,
  StatusKind,
} from "../gen/meltica/v1/event_pb";
import { atPlaces, format, formatShort, placesUsed, ratio } from "./decimal";
import { type Event, EventType } from "./wire";

export interface BookView {
  instrument: string;
  /** The last BOOK, whatever its state. */
  event: Event | undefined;
  /** What a STATUS after that BOOK said; undefined: the BOOK's own state stands. */
  told: { state: BookState; reason: string } | undefined;
  epoch: bigint;
  sequence: bigint;
  /** BOOKs that did not come, by their numbers. */
  missed: bigint;
  events: number;
  places: Places;
}

/** Digits behind the point that the levels of a book need, the most so far: columns then neither
 * jump nor fill with zeros that the exponent alone asks for. */
export interface Places {
  price: number;
  quantity: number;
}

export function emptyBook(instrument: string): BookView {
  return {
    instrument,
    event: undefined,
    told: undefined,
    epoch: 0n,
    sequence: 0n,
    missed: 0n,
    events: 0,
    places: { price: 0, quantity: 0 },
  };
}

function takeBook(view: BookView, event: Event): boolean {
  if (event.epoch < view.epoch || (event.epoch === view.epoch && event.sequence <= view.sequence)) {
    return false; // a repeat, or of an owner that was replaced
  }
  if (event.epoch === view.epoch && view.sequence > 0n) {
    view.missed += event.sequence - view.sequence - 1n;
  }
  view.epoch = event.epoch;
  view.sequence = event.sequence;
  view.event = event;
  view.told = undefined;
  view.events++;
  return true;
}

const STATE_OF_KIND: Partial<Record<StatusKind, BookState>> = {
  [StatusKind.GAP]: BookState.BOOK_GAP,
  [StatusKind.STALE]: BookState.BOOK_STALE,
  [StatusKind.SYNCING]: BookState.BOOK_SYNCING,
  [StatusKind.IDLE]: BookState.BOOK_IDLE,
};

/** A STATUS only ever takes trust away: LIVE is what a BOOK says of its own levels. */
function takeStatus(view: BookView, event: Event): boolean {
  const status = event.payload.case === "status" ? event.payload.value : undefined;
  const state = status === undefined ? undefined : STATE_OF_KIND[status.kind];
  if (status === undefined || state === undefined || event.epoch < view.epoch) {
    return false;
  }
  view.told = { state, reason: status.reason };
  return true;
}

/** True where it changed what is shown. */
export function take(view: BookView, event: Event): boolean {
  if (event.instrument !== view.instrument) {
    return false;
  }
  if (event.type === EventType.BOOK) {
    return event.payload.case === "book" && takeBook(view, event);
  }
  return event.type === EventType.STATUS && takeStatus(view, event);
}

/** After a connection was lost nothing is known of what passed: numbers count anew. */
export function forgetPosition(view: BookView): void {
  view.sequence = 0n;
  view.epoch = 0n;
}

export interface Condition {
  word: string;
  /** good: levels are right; warn: last known or awaited; bad: not to be used. */
  tone: "good" | "warn" | "bad" | "none";
  text: string;
  /** Levels are there to be seen, trusted or not. */
  levels: boolean;
}

const CONDITIONS: Record<number, Condition> = {
  [BookState.BOOK_LIVE]: { word: "LIVE", tone: "good", text: "", levels: true },
  [BookState.BOOK_STALE]: {
    word: "STALE",
    tone: "warn",
    text: "Last known levels: nothing has come since. Do not trade on them.",
    levels: true,
  },
  [BookState.BOOK_GAP]: {
    word: "GAP",
    tone: "bad",
    text: "Something is missing: there is no book until it is mended.",
    levels: false,
  },
  [BookState.BOOK_SYNCING]: {
    word: "SYNCING",
    tone: "warn",
    text: "Waiting for a snapshot that joins the changes.",
    levels: false,
  },
  [BookState.BOOK_IDLE]: {
    word: "IDLE",
    tone: "none",
    text: "Nobody asks for this book. Subscribe to BOOK to have it.",
    levels: false,
  },
};

/** What the page says of the book, worst first. connected: NATS is there now. */
export function condition(view: BookView, connected: boolean): Condition {
  const book = view.event?.payload.case === "book" ? view.event.payload.value : undefined;
  if (!connected) {
    return {
      word: "NOT CONNECTED",
      tone: "bad",
      text: "The connection to NATS is lost. What stands here is from before.",
      levels: book !== undefined,
    };
  }
  if (view.told !== undefined) {
    const told = CONDITIONS[view.told.state];
    if (told !== undefined) {
      const reason = view.told.reason === "" ? "" : ` (${view.told.reason})`;
      return { ...told, text: `${told.text}${reason}`, levels: told.levels && book !== undefined };
    }
  }
  if (book === undefined) {
    return { word: "NO BOOK", tone: "none", text: "No BOOK has come yet.", levels: false };
  }
  return (
    CONDITIONS[book.state] ?? {
      word: `STATE ${book.state}`,
      tone: "bad",
      text: "A state that this page does not know is none to rely on.",
      levels: false,
    }
  );
}

// ---- ladder ----

export interface Rung {
  price: string;
  quantity: string;
  total: string;
  /** Of the total, against the deepest that is shown on either side: 0 to 1. */
  share: number;
}

export interface Ladder {
  bids: Rung[];
  asks: Rung[];
}

function sums(levels: Levels | undefined, rows: number): bigint[] {
  const out: bigint[] = [];
  let sum = 0n;
  for (const quantity of levels?.quantities.slice(0, rows) ?? []) {
    sum += quantity;
    out.push(sum);
  }
  return out;
}

function rungs(levels: Levels | undefined, totals: bigint[], most: bigint): Rung[] {
  if (levels === undefined) {
    return [];
  }
  return totals.map((total, i) => ({
    price: format(levels.prices[i] ?? 0n, levels.priceExponent),
    quantity: format(levels.quantities[i] ?? 0n, levels.quantityExponent),
    total: format(total, levels.quantityExponent),
    share: ratio(total, most),
  }));
}

function last(values: bigint[]): bigint {
  return values[values.length - 1] ?? 0n;
}

/** The best levels of both sides, best first, at most so many; places grow as they need it. */
export function ladder(book: Book, rows: number, places: Places): Ladder {
  const bids = sums(book.bids, rows);
  const asks = sums(book.asks, rows);
  const most = last(bids) > last(asks) ? last(bids) : last(asks);
  const out = { bids: rungs(book.bids, bids, most), asks: rungs(book.asks, asks, most) };
  const all = [...out.bids, ...out.asks];
  for (const rung of all) {
    places.price = Math.max(places.price, placesUsed(rung.price));
    places.quantity = Math.max(places.quantity, placesUsed(rung.quantity));
  }
  for (const rung of all) {
    rung.price = atPlaces(rung.price, places.price);
    rung.quantity = atPlaces(rung.quantity, places.quantity);
    rung.total = atPlaces(rung.total, places.quantity);
  }
  return out;
}

// ---- depth ----

export interface Depth {
  /** From the middle outwards: x 0 to 1 over the whole width, y 0 to 1 of the deepest side. */
  bids: { x: number; y: number }[];
  asks: { x: number; y: number }[];
  low: string;
  high: string;
  most: string;
}

/** undefined: a side is empty, so that there is nothing to draw. */
export function depth(book: Book, places: Places): Depth | undefined {
  const bids = book.bids;
  const asks = book.asks;
  if (!bids || !asks || bids.prices.length === 0 || asks.prices.length === 0) {
    return undefined;
  }
  const bidSums = sums(bids, bids.prices.length);
  const askSums = sums(asks, asks.prices.length);
  const most = last(bidSums) > last(askSums) ? last(bidSums) : last(askSums);
  // Both sides reach equally far from the middle (twice it, to stay whole), so that a lopsided
  // book looks lopsided.
  const best = (bids.prices[0] ?? 0n) + (asks.prices[0] ?? 0n);
  const reachBid = best - 2n * last(bids.prices);
  const reachAsk = 2n * last(asks.prices) - best;
  const reach = reachBid > reachAsk ? reachBid : reachAsk;
  const offset = (price: bigint): number => {
    const away = 2n * price - best;
    return away < 0n ? 0.5 - ratio(-away, reach) / 2 : 0.5 + ratio(away, reach) / 2;
  };
  return {
    bids: bids.prices.map((price, i) => ({ x: offset(price), y: ratio(bidSums[i] ?? 0n, most) })),
    asks: asks.prices.map((price, i) => ({ x: offset(price), y: ratio(askSums[i] ?? 0n, most) })),
    low: atPlaces(format(last(bids.prices), bids.priceExponent), places.price),
    high: atPlaces(format(last(asks.prices), asks.priceExponent), places.price),
    most: atPlaces(format(most, bids.quantityExponent), places.quantity),
  };
}

/** The outline of one side as the d of an SVG path: steps from the middle outwards, closed below. */
export function outline(points: { x: number; y: number }[], width: number, height: number): string {
  const first = points[0];
  if (first === undefined) {
    return "";
  }
  const at = (x: number): string => (x * width).toFixed(1);
  const up = (y: number): string => (height - y * height).toFixed(1);
  let path = `M${at(first.x)} ${height}`;
  for (const [i, point] of points.entries()) {
    const before = i === 0 ? 0 : (points[i - 1]?.y ?? 0);
    path += `L${at(point.x)} ${up(before)}L${at(point.x)} ${up(point.y)}`;
  }
  const edge = points[points.length - 1] ?? first;
  return `${path}L${at(edge.x)} ${height}Z`;
}

// ---- measures ----

/** "–" where it cannot be told; "~" behind what is of a part only. */
export function measure(m: Measure | undefined, places = 18): string {
  if (m?.value === undefined) {
    return "–";
  }
  const text = formatShort(m.value.mantissa, m.value.exponent, places);
  return m.flags === 0 ? text : `${text}~`;
}

export function measures(a: Analytics | undefined): { name: string; value: string; title: string }[] {
  return [
    { name: "Mid", value: measure(a?.mid), title: "Middle of best bid and best ask" },
    { name: "Spread", value: measure(a?.spread), title: "Best ask less best bid" },
    { name: "Spread bps", value: measure(a?.spreadBps, 4), title: "Spread in hundredths of a per cent" },
    {
      name: "Microprice",
      value: measure(a?.microprice, 6),
      title: "Middle weighted by the quantities of the best levels",
    },
    {
      name: "Imbalance 5",
      value: measure(a?.imbalance[1], 4),
      title: "Of the best five levels: 1 all bids, −1 all asks",
    },
    { name: "Flow 60 s", value: measure(a?.tradeFlow[2], 4), title: "Bought less sold in the last minute" },
    { name: "VWAP 60 s", value: measure(a?.vwap[2], 6), title: "Average price of the last minute's trades" },
    { name: "Volatility", value: measure(a?.volatility, 6), title: "Over the last minute" },
  ];
}
