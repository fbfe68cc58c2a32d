// The flow, hop by hop, from the answers to $SRV.STATS. Pure.
import { CounterRate } from "./rates";

/** One answer to $SRV.STATS, as far as it is read. */
export interface Stats {
  name: string;
  id: string;
  version: string;
  instance: string;
  data: Record<string, number>;
}

function numbers(data: unknown): Record<string, number> {
  const out: Record<string, number> = {};
  if (typeof data === "object" && data !== null) {
    for (const [key, value] of Object.entries(data)) {
      const number = typeof value === "string" ? Number(value) : value; // some are text for 64 bits
      if (typeof number === "number" && Number.isFinite(number)) {
        out[key] = number;
      }
    }
  }
  return out;
}

/** undefined: no answer of a service of Meltica. */
export function parseStats(text: string): Stats | undefined {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json !== "object" || json === null) {
      return undefined;
    }
    const { name, id, version, metadata, endpoints } = json as Record<string, unknown>;
    if (typeof name !== "string" || typeof id !== "string" || !name.startsWith("meltica-")) {
      return undefined;
    }
    const first: unknown = Array.isArray(endpoints) ? endpoints[0] : undefined;
    return {
      name,
      id,
      version: typeof version === "string" ? version : "",
      instance: (metadata as Record<string, string> | undefined)?.["instance"] ?? "",
      data: numbers((first as Record<string, unknown> | undefined)?.["data"]),
    };
  } catch {
    return undefined;
  }
}

export interface Station {
  key: string;
  /** Of its micro service. */
  service: string;
  title: string;
  /** Member of STATS whose rate stands for what reaches it. */
  counter: string;
  unit: string;
}

/** In the order of the flow. */
export const STATIONS: readonly Station[] = [
  { key: "adapter", service: "meltica-adapter", title: "Adapter", counter: "frames", unit: "frames/s" },
  { key: "dispatcher", service: "meltica-dispatcher", title: "Dispatcher", counter: "in", unit: "instances/s" },
  { key: "conductor", service: "meltica-conductor", title: "Conductor", counter: "in", unit: "events/s" },
  { key: "data-bus", service: "meltica-data-bus", title: "Data Bus", counter: "out", unit: "events/s" },
];

export const SERVICES = [...STATIONS.map((s) => s.service), "meltica-control"];

const INSTANCES_MAX = 256;
/** So long without an answer, and an instance is away. */
const AWAY_AFTER_MS = 8_000;

interface Instance {
  stats: Stats;
  seenMs: number;
  rate: CounterRate;
}

export interface StationView {
  station: Station;
  up: number;
  rate: number | undefined;
  series: readonly number[];
  /** Sum over its instances. */
  data: Record<string, number>;
}

export class Flow {
  private readonly instances = new Map<string, Instance>();

  take(stats: Stats, nowMs: number): void {
    let instance = this.instances.get(stats.id);
    if (instance === undefined) {
      if (this.instances.size >= INSTANCES_MAX) {
        return;
      }
      instance = { stats, seenMs: nowMs, rate: new CounterRate() };
      this.instances.set(stats.id, instance);
    }
    instance.stats = stats;
    instance.seenMs = nowMs;
    const station = STATIONS.find((s) => s.service === stats.name);
    const value = station === undefined ? undefined : stats.data[station.counter];
    if (value !== undefined) {
      instance.rate.sample(nowMs, value);
    }
  }

  /** Drops whoever has not answered for long; readMs: all that was sent until then is read. */
  sweep(readMs: number): void {
    for (const [id, instance] of this.instances) {
      if (readMs - instance.seenMs > AWAY_AFTER_MS) {
        this.instances.delete(id);
      }
    }
  }

  /** Instances of a service that answer. */
  up(service: string): number {
    let count = 0;
    for (const instance of this.instances.values()) {
      count += instance.stats.name === service ? 1 : 0;
    }
    return count;
  }

  versions(): string[] {
    return [...new Set([...this.instances.values()].map((i) => i.stats.version))].sort();
  }

  view(): StationView[] {
    return STATIONS.map((station) => {
      const own = [...this.instances.values()].filter((i) => i.stats.name === station.service);
      const rates = own.map((i) => i.rate.perSecond()).filter((r) => r !== undefined);
      const data: Record<string, number> = {};
      for (const { stats } of own) {
        for (const [key, value] of Object.entries(stats.data)) {
          data[key] = (data[key] ?? 0) + value;
        }
      }
      const longest = Math.max(0, ...own.map((i) => i.rate.series().length));
      const series = Array.from({ length: longest }, (_, at) =>
        own.reduce((sum, i) => sum + (i.rate.series()[i.rate.series().length - longest + at] ?? 0), 0),
      );
      return {
        station,
        up: own.length,
        rate: rates.length === 0 ? undefined : rates.reduce((a, b) => a + b, 0),
        series,
        data,
      };
    });
  }
}
