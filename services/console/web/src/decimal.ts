// Exact decimals: a whole mantissa and a power of ten. No price or quantity ever passes a float on
// its way to the screen; ratio() alone makes one, for lengths of bars.

export interface Decimal {
  mantissa: bigint;
  exponent: number;
}

/** Of docs/wire-format.md. What is beyond would be as many digits as somebody likes. */
const EXPONENT_MAX = 18;

/** All digits that the exponent names, as Meltica's own tools print them: 61602.010, 1200. */
export function format(mantissa: bigint, exponent: number): string {
  if (Math.abs(exponent) > EXPONENT_MAX) {
    return `${mantissa}e${exponent}`;
  }
  const negative = mantissa < 0n;
  let digits = (negative ? -mantissa : mantissa).toString();
  if (exponent > 0) {
    digits = mantissa === 0n ? "0" : digits + "0".repeat(exponent);
  } else if (exponent < 0) {
    digits = digits.padStart(1 - exponent, "0");
    digits = `${digits.slice(0, exponent)}.${digits.slice(exponent)}`;
  }
  return negative ? `-${digits}` : digits;
}

/** The same without zeros at the end of the fraction. */
export function formatTrimmed(mantissa: bigint, exponent: number): string {
  const text = format(mantissa, exponent);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** At most so many digits behind the point, cut and not rounded; "…" says that there were more. */
export function formatShort(mantissa: bigint, exponent: number, places: number): string {
  const text = formatTrimmed(mantissa, exponent);
  const point = text.indexOf(".");
  if (point < 0 || text.length - point - 1 <= places) {
    return text;
  }
  return `${text.slice(0, places > 0 ? point + 1 + places : point)}…`;
}

/** Digits behind the point up to the last that is not 0. */
export function placesUsed(text: string): number {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.replace(/0+$/, "").length - point - 1;
}

/** Cuts zeros at the end down to so many digits behind the point; never another digit. */
export function atPlaces(text: string, places: number): string {
  const point = text.indexOf(".");
  const keep = Math.max(places, placesUsed(text));
  return point < 0 ? text : text.slice(0, keep > 0 ? point + 1 + keep : point);
}

/** Thousands apart by a thin space, in the whole part only: 61 602.010. */
export function grouped(text: string): string {
  const point = text.indexOf(".");
  const whole = point < 0 ? text : text.slice(0, point);
  const fraction = point < 0 ? "" : text.slice(point);
  return whole.replace(/\B(?=(\d{3})+$)/g, "\u2009") + fraction;
}

/** part / whole between 0 and 1, for lengths on the screen. */
export function ratio(part: bigint, whole: bigint): number {
  if (whole <= 0n || part <= 0n) {
    return 0;
  }
  return part >= whole ? 1 : Number((part * 1_000_000n) / whole) / 1_000_000;
}
