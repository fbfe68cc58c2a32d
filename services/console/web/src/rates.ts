// Rates from counters that are read now and then, and from events that are counted. Pure.

/** Counts per second over a few seconds, and one figure a second of the last minute. */
export class EventRate {
  private readonly counts: Float64Array;
  private second = -1;
  private first = -1;

  constructor(private readonly seconds = 61) {
    this.counts = new Float64Array(seconds);
  }

  private advance(nowMs: number): void {
    const now = Math.floor(nowMs / 1000);
    if (this.second < 0) {
      this.second = now;
      this.first = now;
    }
    for (let s = Math.max(this.second + 1, now - this.seconds + 1); s <= now; s++) {
      this.counts[s % this.seconds] = 0;
    }
    this.second = Math.max(this.second, now);
  }

  add(nowMs: number, count = 1): void {
    this.advance(nowMs);
    const i = this.second % this.seconds;
    this.counts[i] = (this.counts[i] ?? 0) + count;
  }

  /** Of the last so many whole seconds. */
  perSecond(nowMs: number, window = 5): number {
    return this.series(nowMs, window).reduce((sum, n) => sum + n, 0) / window;
  }

  /** The same, without the seconds before the first event. */
  history(nowMs: number): number[] {
    this.advance(nowMs);
    return this.series(nowMs, Math.min(this.seconds - 1, this.second - this.first));
  }

  /** Oldest first, whole seconds only. */
  series(nowMs: number, length = this.seconds - 1): number[] {
    this.advance(nowMs);
    const out: number[] = [];
    for (let s = this.second - length; s < this.second; s++) {
      out.push(s < 0 ? 0 : (this.counts[s % this.seconds] ?? 0));
    }
    return out;
  }
}

interface Sample {
  atMs: number;
  value: number;
}

/** A counter of one process: rate over the last samples; one that went down began anew. */
export class CounterRate {
  private samples: Sample[] = [];
  private history: number[] = [];

  constructor(
    private readonly window = 6,
    private readonly length = 60,
  ) {}

  sample(atMs: number, value: number): void {
    const before = this.samples[this.samples.length - 1];
    if (before !== undefined && (value < before.value || atMs < before.atMs)) {
      this.samples = [];
    } else if (before?.atMs === atMs) {
      return; // the same question, answered twice
    } else if (before !== undefined) {
      this.history.push(((value - before.value) * 1000) / (atMs - before.atMs));
      this.history = this.history.slice(-this.length);
    }
    this.samples.push({ atMs, value });
    this.samples = this.samples.slice(-this.window);
  }

  /** undefined until there are two samples. */
  perSecond(): number | undefined {
    const first = this.samples[0];
    const last = this.samples[this.samples.length - 1];
    if (first === undefined || last === undefined || last.atMs <= first.atMs) {
      return undefined;
    }
    return ((last.value - first.value) * 1000) / (last.atMs - first.atMs);
  }

  /** One figure for each pair of samples, oldest first. */
  series(): readonly number[] {
    return this.history;
  }

  lastMs(): number {
    return this.samples[this.samples.length - 1]?.atMs ?? 0;
  }
}

/** 0, 0.4, 12, 1,234, 12.3 k, 4.56 M */
export function rateText(perSecond: number | undefined): string {
  if (perSecond === undefined) {
    return "–";
  }
  if (perSecond >= 999_950) {
    return `${(perSecond / 1e6).toFixed(2)}\u202fM`;
  }
  if (perSecond >= 9_999.5) {
    return `${(perSecond / 1e3).toFixed(1)}\u202fk`;
  }
  if (perSecond >= 9.95 || perSecond === 0) {
    return Math.round(perSecond)
      .toString()
      .replace(/\B(?=(\d{3})+$)/g, "\u2009");
  }
  return perSecond.toFixed(1);
}

/** Points of a sparkline as the d of an SVG path, the newest at the right end of a width for
 * `length` points; "" for less than two. */
export function sparkline(values: readonly number[], width: number, height: number, length = values.length): string {
  const most = Math.max(...values, 0);
  if (values.length < 2 || most <= 0) {
    return "";
  }
  const step = width / (Math.max(length, values.length) - 1);
  const left = width - (values.length - 1) * step;
  return values
    .map((v, i) => `${i === 0 ? "M" : "L"}${(left + i * step).toFixed(1)} ${(height - (v / most) * height).toFixed(1)}`)
    .join("");
}
