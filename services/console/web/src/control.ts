// Requests to the Control Bus and what its answers say (docs/control.md). Pure.

export interface Subscription {
  subscription: string;
  consumer: string;
  principal: string;
  type: string;
  instruments: string[];
  state: string;
  terms: string;
  /** Seconds; undefined: no lease. */
  leaseLeft: number | undefined;
  /** From the table's file: nobody can end it here. */
  fixed: boolean;
}

export interface Refusal {
  code: number;
  message: string;
  field: string;
}

type Json = Record<string, unknown>;

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((v): v is string => typeof v === "string") : [];
}

export function parseObject(body: string): Json | undefined {
  try {
    const json: unknown = JSON.parse(body);
    return typeof json === "object" && json !== null && !Array.isArray(json) ? (json as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** undefined: it was not refused. */
export function refusal(answer: Json): Refusal | undefined {
  if (answer["status"] !== "REJECTED") {
    return undefined;
  }
  const code = answer["code"];
  return {
    code: typeof code === "number" ? code : 0,
    message: text(answer["message"]),
    field: text(answer["field"]),
  };
}

function termsOf(entry: Json): string {
  const terms: string[] = [];
  if (entry["channel"] === "private") {
    terms.push("private");
  }
  const throttle = entry["throttle_ms"];
  if (typeof throttle === "number" && throttle > 0) {
    terms.push(`every ${throttle} ms`);
  }
  if (Array.isArray(entry["filter"])) {
    for (const f of entry["filter"] as Json[]) {
      terms.push(`${text(f["field"])} ${text(f["op"])} ${text(f["value"])}`);
    }
  }
  return terms.join(", ");
}

/** The subscriptions of an answer to list. */
export function parseList(answer: Json): Subscription[] {
  const list = Array.isArray(answer["subscriptions"]) ? (answer["subscriptions"] as Json[]) : [];
  return list.map((entry) => {
    const left = Number(entry["lease_left_s"]);
    const leased = text(entry["lease_end_ns"]) !== "" && text(entry["lease_end_ns"]) !== "0";
    return {
      subscription: text(entry["subscription"]),
      consumer: text(entry["consumer"]),
      principal: text(entry["principal"]),
      type: text(entry["type"]),
      instruments: strings(entry["instruments"]),
      state: text(entry["state"]),
      terms: termsOf(entry),
      leaseLeft: leased && Number.isFinite(left) ? left : undefined,
      fixed: false,
    };
  });
}

export interface Offer {
  types: string[];
  fixed: Subscription[];
  revision: string;
}

/** What describe offers, with the subscriptions of the table's file. */
export function parseDescribe(answer: Json): Offer {
  const types = Array.isArray(answer["types"]) ? (answer["types"] as Json[]) : [];
  const fixed = Array.isArray(answer["subscriptions"]) ? (answer["subscriptions"] as Json[]) : [];
  return {
    types: types.map((t) => text(t["type"])).filter((t) => t !== "" && t !== "INSTRUMENT"),
    revision: text(answer["revision"]),
    fixed: fixed.map((entry) => ({
      subscription: text(entry["id"]),
      consumer: "",
      principal: "",
      type: text(entry["type"]),
      instruments: strings(entry["instruments"]),
      state: "",
      terms: "",
      leaseLeft: undefined,
      fixed: true,
    })),
  };
}

/** Names in a text field: apart by blanks or commas, in upper case where they are plain letters. */
export function readInstruments(field: string): string[] {
  return [...new Set(field.split(/[\s,]+/).filter((name) => name !== ""))].map((name) =>
    name.includes("=") ? name : name.toUpperCase(),
  );
}

export function subscribeRequest(consumer: string, type: string, instruments: string[], ttl: number): string {
  return JSON.stringify({ consumer, type, instruments, ...(ttl > 0 ? { ttl_s: ttl } : {}) });
}

export function unsubscribeRequest(s: Subscription): string {
  return JSON.stringify({ consumer: s.consumer, subscription: s.subscription });
}

/** One sentence for people. */
export function outcome(verb: string, answer: Json): { ok: boolean; text: string } {
  const refused = refusal(answer);
  if (refused !== undefined) {
    const field = refused.field === "" ? "" : ` (${refused.field})`;
    return { ok: false, text: `${verb} refused, ${refused.code}: ${refused.message}${field}` };
  }
  const took = answer["took_ms"];
  const time = typeof took === "number" ? ` in ${took} ms` : "";
  const what = `${text(answer["type"])} ${strings(answer["instruments"]).join(", ")}`.trim();
  switch (answer["status"]) {
    case "CONFIRMED": {
      const already = answer["unchanged"] === true ? " (it was so already)" : "";
      return { ok: true, text: `${verb} confirmed${time}: ${what}${already}` };
    }
    case "PENDING":
      return { ok: true, text: `${verb} stored, not yet in effect: ${text(answer["message"])}` };
    default:
      return { ok: false, text: `${verb}: ${text(answer["status"])} ${text(answer["message"])}`.trim() };
  }
}
