import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow, parseStats } from "../src/flow";
import { bucketOf, COLUMNS, duration, Histogram, SLICE_MS, SLICES, upperBound } from "../src/histogram";
import { CounterRate, EventRate, rateText, sparkline } from "../src/rates";

test("buckets: every duration is below its bound, by an eighth at most", () => {
  for (let ns = 1; ns < 1e11; ns = Math.ceil(ns * 1.07)) {
    const bound = upperBound(bucketOf(ns));
    assert.ok(ns <= bound, `${ns} above ${bound}`);
    assert.ok(ns < 128 || bound <= ns * 1.126, `${bound} far above ${ns}`);
  }
  assert.equal(bucketOf(-5), 0);
});

test("percentiles of what is known, against the sorted numbers themselves", () => {
  const histogram = new Histogram();
  const values = Array.from({ length: 1_000 }, (_, i) => (i + 1) * 1_000);
  for (const value of values) {
    histogram.record(value, 60_000);
  }
  const seen = histogram.summary(60_000);
  assert.equal(seen.count, 1_000);
  for (const [share, found] of [[0.5, seen.p50], [0.95, seen.p95], [0.99, seen.p99]] as const) {
    const truth = values[Math.ceil(1_000 * share) - 1] ?? 0;
    assert.ok(found >= truth && found <= truth * 1.126, `${found} for ${truth}`);
  }
  assert.equal(seen.columns.length, COLUMNS);
  assert.equal(seen.columns.reduce((a, b) => a + b, 0), 1_000);
});

test("what is older than a minute leaves; memory stays", () => {
  const histogram = new Histogram();
  histogram.record(5_000, 0);
  histogram.record(-1, 0);
  assert.deepEqual([histogram.summary(0).count, histogram.summary(0).negative], [2, 1]);
  assert.equal(histogram.summary((SLICES - 1) * SLICE_MS).count, 2);
  assert.equal(histogram.summary(SLICES * SLICE_MS).count, 0);
  histogram.record(5_000, SLICES * SLICE_MS); // takes the place of the first
  assert.deepEqual([histogram.summary(SLICES * SLICE_MS).count, histogram.summary(SLICES * SLICE_MS).negative], [1, 0]);
});

test("durations in three digits", () => {
  const n = "\u202f";
  for (const [ns, text] of [[0, "0 ns"], [950, "950 ns"], [999.9, "1.00 µs"], [12_340, "12.3 µs"], [4_560_000, "4.56 ms"],
    [99_960_000, "100 ms"], [1_200_000_000, "1.20 s"]] as const) {
    assert.equal(duration(ns), text.replace(" ", n));
  }
});

test("rates of events: whole seconds, and a pause is zeros", () => {
  const rate = new EventRate(11);
  for (let ms = 100_000; ms < 105_000; ms += 10) {
    rate.add(ms);
  }
  assert.equal(rate.perSecond(105_000, 5), 100);
  assert.deepEqual(rate.series(105_000, 7), [0, 0, 100, 100, 100, 100, 100]);
  assert.deepEqual(rate.history(105_000), [100, 100, 100, 100, 100]);
  assert.equal(rate.perSecond(107_000, 5), 60);
  assert.equal(rate.perSecond(500_000, 5), 0);
  assert.deepEqual(rate.series(500_000, 3), [0, 0, 0]);
});

test("rates of counters: a process that began anew is no drop", () => {
  const rate = new CounterRate();
  assert.equal(rate.perSecond(), undefined);
  rate.sample(1_000, 500);
  assert.equal(rate.perSecond(), undefined);
  rate.sample(2_000, 700);
  rate.sample(4_000, 1_300);
  assert.equal(rate.perSecond(), 800 / 3);
  rate.sample(4_000, 1_400);
  assert.equal(rate.perSecond(), 800 / 3, "a time that is known is not taken twice");
  rate.sample(5_000, 10);
  assert.equal(rate.perSecond(), undefined);
  rate.sample(6_000, 30);
  assert.equal(rate.perSecond(), 20);
  assert.ok(rate.series().every((v) => v >= 0));
  for (let i = 0; i < 500; i++) {
    rate.sample(7_000 + i * 1_000, 100 + i);
  }
  assert.ok(rate.series().length <= 60);
});

test("texts of rates, sparklines", () => {
  assert.deepEqual(
    [undefined, 0, 0.44, 9.94, 12.4, 1_234, 12_345, 4_560_000].map(rateText),
    ["–", "0", "0.4", "9.9", "12", "1\u2009234", "12.3\u202fk", "4.56\u202fM"],
  );
  assert.equal(sparkline([0, 5, 10], 100, 10), "M0.0 10.0L50.0 5.0L100.0 0.0");
  assert.equal(sparkline([10, 10], 100, 10, 5), "M75.0 0.0L100.0 0.0");
  assert.equal(sparkline([1], 100, 10), "");
  assert.equal(sparkline([0, 0], 100, 10), "");
});

function stats(name: string, id: string, data: object): string {
  return JSON.stringify({ name, id, version: "0.1.0", metadata: { instance: "x" }, endpoints: [{ data }] });
}

test("the flow adds up instances, forgets those that are away, and reads numbers that are texts", () => {
  const flow = new Flow();
  const put = (text: string, ms: number): void => {
    const parsed = parseStats(text);
    assert.ok(parsed);
    flow.take(parsed, ms);
  };
  for (let s = 0; s < 3; s++) {
    put(stats("meltica-dispatcher", "A", { in: String(1_000 * s), out: "5" }), s * 1_000);
    put(stats("meltica-dispatcher", "B", { in: 500 * s }), s * 1_000);
    put(stats("meltica-data-bus", "C", { out: 10 * s, lost: 2 }), s * 1_000);
  }
  const [adapter, dispatcher, , bus] = flow.view();
  assert.deepEqual([adapter?.up, adapter?.rate], [0, undefined]);
  assert.deepEqual([dispatcher?.up, dispatcher?.rate, dispatcher?.data["in"]], [2, 1_500, 3_000]);
  assert.deepEqual(dispatcher?.series, [1_500, 1_500]);
  assert.deepEqual([bus?.rate, bus?.data["lost"]], [10, 2]);
  put(stats("meltica-dispatcher", "A", { in: 2_500 }), 6_000);
  flow.sweep(10_500);
  assert.deepEqual([flow.up("meltica-dispatcher"), flow.up("meltica-data-bus")], [1, 0]);
});

test("answers that are none of ours are left", () => {
  for (const text of ["", "{", "[]", "null", "7", '{"name":"other","id":"x"}', '{"name":"meltica-x"}']) {
    assert.equal(parseStats(text), undefined);
  }
  assert.deepEqual(parseStats('{"name":"meltica-x","id":"1","endpoints":null}')?.data, {});
});
