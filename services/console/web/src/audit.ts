// The audit feed: what MELTICA_AUDIT has, newest first, so many and no more. Pure.
import { parseObject } from "./control";

export const RECORDS_MAX = 200;

export interface AuditRecord {
  timeMs: number;
  outcome: string;
  verb: string;
  who: string;
  what: string;
  message: string;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** undefined: no record. */
export function parseAudit(body: string): AuditRecord | undefined {
  const json = parseObject(body);
  const time = text(json?.["time_ns"]);
  if (json === undefined || !/^\d{6,20}$/.test(time)) {
    return undefined;
  }
  const consumer = text(json["consumer"]);
  const instruments = Array.isArray(json["instruments"]) ? (json["instruments"] as unknown[]) : [];
  const names = instruments.slice(0, 3).map(text).join(", ");
  const more = instruments.length > 3 ? ` and ${instruments.length - 3} more` : "";
  const code = typeof json["code"] === "number" && json["code"] !== 0 ? `${json["code"]} ` : "";
  return {
    timeMs: Number(BigInt(time) / 1_000_000n),
    outcome: text(json["outcome"]).toUpperCase(),
    verb: text(json["verb"]),
    who: [text(json["principal"]), consumer].filter((part) => part !== "").join(" / "),
    what: `${text(json["type"])} ${names}${more}`.trim(),
    message: (code + text(json["message"])).trim(),
  };
}

export class AuditFeed {
  private records: { sequence: number; record: AuditRecord }[] = [];

  /** sequence: in the stream; records come in any order and perhaps twice. False: nothing new. */
  take(sequence: number, record: AuditRecord): boolean {
    if (this.records.some((r) => r.sequence === sequence)) {
      return false;
    }
    this.records.push({ sequence, record });
    this.records.sort((a, b) => b.sequence - a.sequence);
    this.records = this.records.slice(0, RECORDS_MAX);
    return this.records.some((r) => r.sequence === sequence);
  }

  newest(): number {
    return this.records[0]?.sequence ?? 0;
  }

  list(): readonly { sequence: number; record: AuditRecord }[] {
    return this.records;
  }
}
