// Latencies of the last minute: counts by size in slices of time, so that what is old leaves and
// memory stays what it was. Pure; the clock is handed in.

const STEPS = 8; // buckets to each doubling: a bound is at most 12.5 % above what it stands for
const FIRST_POWER = 7; // up to 128 ns is one bucket
const LAST_POWER = 37; // 137 s and more is one
const BUCKETS = (LAST_POWER - FIRST_POWER) * STEPS + 2;

export const SLICES = 12;
export const SLICE_MS = 5_000;

export function bucketOf(ns: number): number {
  if (ns < 2 ** FIRST_POWER) {
    return 0;
  }
  const power = Math.floor(Math.log2(ns));
  if (power >= LAST_POWER) {
    return BUCKETS - 1;
  }
  const step = Math.min(STEPS - 1, Math.floor((ns / 2 ** power - 1) * STEPS));
  return (power - FIRST_POWER) * STEPS + step + 1;
}

/** Largest ns of a bucket; of the last one its lower end. */
export function upperBound(bucket: number): number {
  if (bucket === 0) {
    return 2 ** FIRST_POWER;
  }
  if (bucket >= BUCKETS - 1) {
    return 2 ** LAST_POWER;
  }
  const power = FIRST_POWER + Math.floor((bucket - 1) / STEPS);
  return 2 ** power * (1 + (((bucket - 1) % STEPS) + 1) / STEPS);
}

/** Columns of the picture: four to each power of ten from 1 µs to 10 s, the ends take the rest. */
export const COLUMNS = 28;

function columnOf(ns: number): number {
  return Math.max(0, Math.min(COLUMNS - 1, Math.floor((Math.log10(ns) - 3) * 4)));
}

export interface Summary {
  count: number;
  /** Below zero: the clocks of two machines differ. */
  negative: number;
  p50: number;
  p95: number;
  p99: number;
  columns: number[];
}

export class Histogram {
  private readonly slices = Array.from({ length: SLICES }, () => new Uint32Array(BUCKETS));
  private readonly negatives = new Uint32Array(SLICES);
  private readonly times = new Float64Array(SLICES).fill(-1);

  private slice(nowMs: number): number {
    const time = Math.floor(nowMs / SLICE_MS);
    const index = time % SLICES;
    if (this.times[index] !== time) {
      this.times[index] = time;
      this.slices[index]?.fill(0);
      this.negatives[index] = 0;
    }
    return index;
  }

  record(ns: number, nowMs: number): void {
    const index = this.slice(nowMs);
    const counts = this.slices[index];
    if (counts === undefined) {
      return;
    }
    if (ns < 0) {
      this.negatives[index] = (this.negatives[index] ?? 0) + 1;
    }
    const bucket = bucketOf(ns);
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }

  summary(nowMs: number): Summary {
    const newest = Math.floor(nowMs / SLICE_MS);
    const counts = new Uint32Array(BUCKETS);
    const out: Summary = {
      count: 0,
      negative: 0,
      p50: 0,
      p95: 0,
      p99: 0,
      columns: new Array<number>(COLUMNS).fill(0),
    };
    for (const [i, slice] of this.slices.entries()) {
      const time = this.times[i] ?? -1;
      if (time <= newest - SLICES || time > newest) {
        continue;
      }
      out.negative += this.negatives[i] ?? 0;
      for (const [b, n] of slice.entries()) {
        counts[b] = (counts[b] ?? 0) + n;
        out.count += n;
      }
    }
    this.fill(counts, out);
    return out;
  }

  private fill(counts: Uint32Array, out: Summary): void {
    const ranks = [0.5, 0.95, 0.99].map((share) => Math.max(1, Math.ceil(out.count * share)));
    const found = [0, 0, 0];
    let below = 0;
    for (const [b, n] of counts.entries()) {
      if (n === 0) {
        continue;
      }
      const column = columnOf(upperBound(b));
      out.columns[column] = (out.columns[column] ?? 0) + n;
      for (const [r, rank] of ranks.entries()) {
        if (below < rank && below + n >= rank) {
          found[r] = upperBound(b);
        }
      }
      below += n;
    }
    [out.p50, out.p95, out.p99] = [found[0] ?? 0, found[1] ?? 0, found[2] ?? 0];
  }
}

/** 950 ns, 12.3 µs, 4.56 ms, 1.20 s: three digits. */
export function duration(ns: number): string {
  const units: [number, string][] = [
    [1, "ns"],
    [1e3, "µs"],
    [1e6, "ms"],
    [1e9, "s"],
  ];
  let unit = units[0] ?? [1, "ns"];
  for (const candidate of units) {
    if (ns >= candidate[0] * 0.9995) {
      unit = candidate;
    }
  }
  const value = ns / unit[0];
  const places = unit[0] === 1 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(places)}\u202f${unit[1]}`;
}
