import assert from "node:assert/strict";
import { test } from "node:test";
import { atPlaces, format, formatShort, formatTrimmed, grouped, placesUsed, ratio } from "../src/decimal";

test("every digit that the exponent names, and no float on the way", () => {
  const cases: [bigint, number, string][] = [
    [6160201n, -2, "61602.01"],
    [6160200n, -2, "61602.00"],
    [1n, -8, "0.00000001"],
    [0n, -3, "0.000"],
    [0n, 4, "0"],
    [0n, 0, "0"],
    [12n, 3, "12000"],
    [-5n, -1, "-0.5"],
    [-1234n, -2, "-12.34"],
    // beyond what a double holds: 2^53 + 1, and the ends of 64 bits
    [9007199254740993n, -3, "9007199254740.993"],
    [9223372036854775807n, -18, "9.223372036854775807"],
    [-9223372036854775808n, 0, "-9223372036854775808"],
  ];
  for (const [mantissa, exponent, text] of cases) {
    assert.equal(format(mantissa, exponent), text);
  }
});

test("format is the inverse of reading, whatever the number", () => {
  let x = 88172645463325252n; // xorshift: the same numbers each time
  for (let i = 0; i < 2_000; i++) {
    x ^= (x << 13n) & 0xffffffffffffffffn;
    x ^= x >> 7n;
    x ^= (x << 17n) & 0xffffffffffffffffn;
    const mantissa = BigInt.asIntN(64, x);
    const exponent = Number(x % 19n) * -1;
    const text = format(mantissa, exponent);
    assert.equal(BigInt(text.replace(".", "")), mantissa, text);
    assert.equal(exponent === 0 ? 0 : text.length - text.indexOf(".") - 1, -exponent);
  }
});

test("trimmed, short and grouped", () => {
  assert.equal(formatTrimmed(6160200n, -2), "61602");
  assert.equal(formatTrimmed(6160210n, -2), "61602.1");
  assert.equal(formatTrimmed(1200n, 0), "1200"); // zeros of the whole part stay
  assert.equal(formatShort(123456n, -5, 2), "1.23…");
  assert.equal(formatShort(120000n, -5, 2), "1.2");
  assert.equal(formatShort(199n, -2, 0), "1…");
  assert.equal(grouped("61602.010"), "61\u2009602.010");
  assert.equal(grouped("1234567.1234567"), "1\u2009234\u2009567.1234567");
  assert.equal(grouped("999"), "999");
  assert.equal(grouped("-1000"), "-1\u2009000");
  assert.equal(grouped("1234.5~"), "1\u2009234.5~");
});

test("zeros at the end may go, digits never", () => {
  assert.deepEqual(["1.500", "1.000", "12", "0.00000001", "100"].map(placesUsed), [1, 0, 0, 8, 0]);
  assert.equal(atPlaces("1.50000", 2), "1.50");
  assert.equal(atPlaces("1.23456", 2), "1.23456");
  assert.equal(atPlaces("1.000", 0), "1");
  assert.equal(atPlaces("1200", 0), "1200");
  assert.equal(atPlaces("1.5", 8), "1.5");
});

test("lengths of bars", () => {
  assert.equal(ratio(1n, 4n), 0.25);
  assert.equal(ratio(5n, 4n), 1);
  assert.equal(ratio(0n, 4n), 0);
  assert.equal(ratio(-1n, 4n), 0);
  assert.equal(ratio(1n, 0n), 0);
  assert.equal(ratio(2n ** 62n, 2n ** 63n), 0.5);
});

test("an exponent beyond the contract is shown as it is, not as so many digits", () => {
  for (const exponent of [19, -19, 400_000_000, -400_000_000, 2_147_483_647, -2_147_483_648]) {
    assert.equal(format(-12n, exponent), `-12e${exponent}`);
    assert.equal(formatTrimmed(120n, exponent), `120e${exponent}`);
    assert.equal(placesUsed(format(1n, exponent)), 0);
  }
  assert.equal(format(1n, 18), "1000000000000000000");
  assert.equal(format(1n, -18), "0.000000000000000001");
});
