// What the page knows and does; the panels only show it. All of it is bounded: rows, records,
// slices and samples have their limits where they are kept.
import { NoRespondersError, RequestError, type Subscription as NatsSubscription } from "@nats-io/nats-core";
import { AuditFeed, parseAudit } from "./audit";
import { Board } from "./board";
import { type BookView, emptyBook, forgetPosition, take as takeEvent } from "./book";
import {
  type Offer,
  outcome,
  parseDescribe,
  parseList,
  parseObject,
  refusal,
  subscribeRequest,
  type Subscription,
  unsubscribeRequest,
} from "./control";
import type { Frames } from "./dom";
import { Flow, parseStats } from "./flow";
import { Histogram } from "./histogram";
import { type Credentials, Net, type NetState } from "./net";
import { EventRate } from "./rates";
import { decode, decodeRecord, EventType, type Glance, glance, isToken } from "./wire";

export interface Config {
  nats_ws: string;
  label: string;
  version: string;
  control: boolean;
}

export const STAGES = ["exchange", "adapt", "dispatch", "conduct", "publish", "total", "page"] as const;
export type Stage = (typeof STAGES)[number];

const ALL = "meltica.data.*";
const SNAPSHOT = "$JS.API.DIRECT.GET.KV_meltica-snapshots.$KV.meltica-snapshots.";
const AUDIT = "$JS.API.DIRECT.GET.MELTICA_AUDIT";
const AUDIT_SUBJECTS = "meltica.int.audit.*";
const AUDIT_DENIED = "not permitted for this user";
const AUDIT_SHOWN_FIRST = 50;
const AUDIT_SOON_MS = 60;
const AUDIT_TRIES = 20;
const REQUEST_MS = 3_000;
const STATS_MS = 1_000;
const STATS_KEPT = 16;
const STATS_HIDDEN_MS = 5_000;
const LIST_MS = 10_000;
/** Time that events may take of each second; beyond it, so many seconds on end, the page follows
 * one instrument only: a page that falls behind would be cut off by the server. */
const BUSY_MS = 600;
const BUSY_SECONDS = 5;

function wait(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** The stream is made with the first command that is audited: before it nobody answers for it. */
function auditTrouble(error: unknown): string {
  if (error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders())) {
    return "no records yet: MELTICA_AUDIT is not there";
  }
  return `MELTICA_AUDIT cannot be read (${error instanceof Error ? error.message : "?"})`;
}

export class App {
  readonly board = new Board();
  readonly flow = new Flow();
  readonly audit = new AuditFeed();
  readonly observed = new EventRate();
  readonly latency = new Map<Stage, Histogram>(STAGES.map((stage) => [stage, new Histogram()]));
  book: BookView = emptyBook("");
  net: Net;
  state: NetState = "connecting";
  stateText = "";
  /** What the server refused, for the panels concerned. */
  readonly denied = new Set<string>();
  followsAll = true;
  /** Why it does not; "" while it does. */
  notice = "";
  offer: Offer | undefined;
  subscriptions: Subscription[] = [];
  subscriptionsText = "";
  auditText = "";
  outcome: { ok: boolean; text: string } | undefined;
  unlocked = false;
  busy = 0;
  malformed = 0;

  private data: NatsSubscription | undefined;
  private statsInbox = "";
  /** When each question was asked: its answers stand for that time, however late they are read. */
  private readonly asked = new Map<string, number>();
  private questions = 0;
  private catchingUp = false;
  private spentMs = 0;
  private overSeconds = 0;
  private auditReading = false;
  /** Records that were announced and are not read yet. */
  private auditAwaited = 0;
  private listening = 0;

  constructor(
    readonly config: Config,
    private readonly frames: Frames,
    private readonly onSignin: (text: string) => void,
  ) {
    this.net = new Net(config.nats_ws, {
      state: (state, text) => {
        this.onState(state, text);
      },
      denied: (operation, subject) => {
        this.onDenied(operation, subject);
      },
    });
  }

  changed(...names: string[]): void {
    this.frames.dirty(...names);
  }

  start(): void {
    void this.net.connect();
    this.askStats();
    setInterval(() => {
      this.second();
    }, 1_000);
    setInterval(() => {
      void this.refreshSubscriptions();
    }, LIST_MS);
  }

  signin(credentials: Credentials): void {
    this.denied.clear();
    void this.net.connect(credentials);
  }

  // ---- connection ----

  private onState(state: NetState, text: string): void {
    const before = this.state;
    this.state = state;
    this.stateText = text;
    this.frames.dirty("head", "book", "flow", "list");
    if (state === "signin") {
      this.onSignin(text);
    } else if (state === "connected" && before !== "connected") {
      this.onConnected();
    }
  }

  /** After each connection, the first and every other: what passed meanwhile is not known. */
  private onConnected(): void {
    forgetPosition(this.book);
    if (this.listening !== this.net.generation) {
      this.listening = this.net.generation;
      this.listen();
    }
    void this.readSnapshot();
    void this.refreshSubscriptions();
    void this.readAudit();
  }

  /** Subscriptions of this connection; those of one that broke and came back are still there. */
  private listen(): void {
    this.statsInbox = this.net.inbox();
    this.net.subscribe(`${this.statsInbox}.*`, (message) => {
      const stats = parseStats(message.string());
      const asked = this.asked.get(message.subject);
      if (stats !== undefined && asked !== undefined) {
        this.flow.take(stats, asked);
        this.frames.dirty("flow");
      }
    });
    this.net.subscribe(AUDIT_SUBJECTS, () => {
      this.auditAwaited++;
      void this.readAudit();
      void this.refreshSubscriptions();
    });
    this.data = undefined;
    this.followData();
  }

  private onDenied(operation: string, subject: string): void {
    if (this.denied.size < 64) {
      this.denied.add(`${operation} ${subject}`);
    }
    if (operation === "subscription" && subject === ALL) {
      this.followOne("This user may not read all instruments. Name one in the filter and press Enter.");
    }
    if (this.auditDenied()) {
      this.auditText = AUDIT_DENIED;
    }
    this.frames.dirty("head", "audit", "flow", "subs", "list");
  }

  private auditDenied(): boolean {
    return this.denied.has(`subscription ${AUDIT_SUBJECTS}`) || this.denied.has(`publish ${AUDIT}`);
  }

  get connected(): boolean {
    return this.state === "connected";
  }

  // ---- events ----

  private followData(): void {
    this.data?.unsubscribe();
    forgetPosition(this.book); // what is on its way meanwhile is left out on purpose
    const subject = this.followsAll ? ALL : `meltica.data.${this.book.instrument}`;
    if (!this.followsAll && this.book.instrument === "") {
      this.data = undefined;
      return;
    }
    this.data = this.net.subscribe(subject, (message) => {
      const before = performance.now();
      this.onEvent(message.data);
      this.spentMs += performance.now() - before;
    });
  }

  private followOne(notice: string): void {
    this.followsAll = false;
    this.notice = notice;
    this.followData();
    this.frames.dirty("list");
  }

  followAll(): void {
    this.followsAll = true;
    this.notice = "";
    this.overSeconds = 0;
    this.followData();
    this.frames.dirty("list");
  }

  private onEvent(bytes: Uint8Array): void {
    const now = performance.timeOrigin + performance.now();
    const seen = glance(bytes);
    if (seen === undefined) {
      this.malformed++;
      return;
    }
    this.observed.add(now);
    this.board.take(seen, bytes, now);
    this.measure(seen, now);
    this.frames.dirty("list", "latency", "flow");
    const shown = seen.type === EventType.BOOK || seen.type === EventType.STATUS;
    if (shown && seen.instrument === this.book.instrument) {
      const event = decode(bytes);
      if (event !== undefined && takeEvent(this.book, event)) {
        this.frames.dirty("book");
      }
    }
  }

  private measure(seen: Glance, nowMs: number): void {
    const s = seen.stages;
    const put = (stage: Stage, from: number | undefined, to: number | undefined): void => {
      if (from !== undefined && to !== undefined) {
        this.latency.get(stage)?.record(to - from, nowMs);
      }
    };
    const nowNs = Number(BigInt(Math.round(nowMs * 1000)) * 1000n - s.received);
    put("exchange", s.exchange, 0);
    put("adapt", 0, s.adapted);
    put("dispatch", s.adapted, s.dispatched);
    // A BOOK waits on purpose: its throttle is no latency.
    put("conduct", s.dispatched, s.conducted === undefined ? undefined : s.conducted - seen.throttled);
    put("publish", s.conducted, s.published);
    put("total", 0, s.published === undefined ? undefined : s.published - seen.throttled);
    put("page", s.published, nowNs);
  }

  private second(): void {
    if (this.book.instrument === "" && this.board.size > 0) {
      this.select(this.board.list("", 1)[0]?.instrument ?? "");
    }
    this.busy = this.spentMs / 1_000;
    this.overSeconds = this.spentMs > BUSY_MS ? this.overSeconds + 1 : 0;
    this.spentMs = 0;
    if (this.overSeconds >= BUSY_SECONDS && this.followsAll) {
      const rate = Math.round(this.observed.perSecond(Date.now()));
      this.followOne(`${rate} events a second take too much of this page's time: only the chosen instrument is followed.`);
    }
    this.frames.dirty("flow", "latency", "list", "book", "head");
  }

  // ---- book ----

  select(instrument: string): void {
    if (instrument === this.book.instrument || !isToken(instrument)) {
      return;
    }
    this.book = emptyBook(instrument);
    if (!this.followsAll) {
      this.followData();
    }
    this.frames.dirty("book", "list");
    void this.readSnapshot();
  }

  /** The last BOOK that went out: there at once, however seldom the next one comes. */
  private async readSnapshot(): Promise<void> {
    const view = this.book;
    if (view.instrument === "" || !this.net.connected) {
      return;
    }
    try {
      const answer = await this.net.request(SNAPSHOT + view.instrument, "", REQUEST_MS);
      const event = answer.code >= 400 ? undefined : decodeRecord(answer.data);
      if (event !== undefined && view === this.book && takeEvent(view, event)) {
        this.frames.dirty("book");
      }
    } catch {
      // Without JetStream the next BOOK on the stream is the first.
    }
  }

  // ---- services ----

  private askStats(): void {
    if (this.connected && this.statsInbox !== "") {
      const reply = `${this.statsInbox}.${++this.questions}`;
      this.asked.set(reply, Date.now());
      for (const old of [...this.asked.keys()].slice(0, -STATS_KEPT)) {
        this.asked.delete(old);
      }
      this.net.publish("$SRV.STATS", reply);
      void this.catchUp();
    }
    setTimeout(
      () => {
        this.askStats();
      },
      document.hidden ? STATS_HIDDEN_MS : STATS_MS,
    );
  }

  /** Who gave no answer is away only once the page has read all that came meanwhile. */
  private async catchUp(): Promise<void> {
    if (this.catchingUp) {
      return;
    }
    this.catchingUp = true;
    const asked = Date.now();
    try {
      await this.net.caughtUp();
      this.flow.sweep(asked);
    } catch {
      // the connection broke: nothing is known of anybody
    }
    this.catchingUp = false;
  }

  // ---- subscriptions ----

  private subject(verb: string): string {
    const principal = this.net.principal;
    return principal === undefined ? `meltica.control.${verb}` : `meltica.control.as.${principal}.${verb}`;
  }

  private async ask(verb: string, body: string): Promise<Record<string, unknown>> {
    const answer = await this.net.request(this.subject(verb), body, REQUEST_MS);
    const json = parseObject(answer.text);
    if (json === undefined) {
      throw new Error(`the answer to ${verb} is no JSON`);
    }
    return json;
  }

  async refreshSubscriptions(): Promise<void> {
    if (!this.net.connected || !this.connected) {
      return;
    }
    try {
      const [list, describe] = await Promise.all([
        this.ask("list", '{"limit":200}'),
        this.offer === undefined ? this.ask("describe", "") : undefined,
      ]);
      const refused = refusal(list);
      this.subscriptions = refused === undefined ? parseList(list) : [];
      const total = Number(list["total"]);
      this.subscriptionsText =
        refused !== undefined
          ? `${refused.code}: ${refused.message}`
          : total > this.subscriptions.length
            ? `the first ${this.subscriptions.length} of ${total}`
            : "";
      if (describe !== undefined && refusal(describe) === undefined) {
        this.offer = parseDescribe(describe);
      }
    } catch (error) {
      this.subscriptionsText = `the Control Bus does not answer (${error instanceof Error ? error.message : "?"})`;
    }
    this.frames.dirty("subs");
  }

  private async change(verb: string, word: string, body: string): Promise<void> {
    if (!this.unlocked || !this.config.control) {
      return;
    }
    this.outcome = { ok: true, text: `${word} …` };
    this.frames.dirty("subs");
    try {
      this.outcome = outcome(word, await this.ask(verb, body));
    } catch (error) {
      const text = error instanceof Error ? error.message : "?";
      this.outcome = { ok: false, text: `${word}: no answer (${text}). Whether it was done, the list will show.` };
    }
    this.frames.dirty("subs");
    await this.refreshSubscriptions();
  }

  subscribe(consumer: string, type: string, instruments: string[], ttl: number): Promise<void> {
    return this.change("subscribe", "Subscribe", subscribeRequest(consumer, type, instruments, ttl));
  }

  unsubscribe(subscription: Subscription): Promise<void> {
    return this.change("unsubscribe", "End", unsubscribeRequest(subscription));
  }

  // ---- audit ----

  /** Reads on from the newest record that is here. Whoever is told of a record may be faster than
   * the stream is: then it is asked again soon, a few times. */
  private async readAudit(): Promise<void> {
    if (this.auditReading) {
      return;
    }
    this.auditReading = true;
    try {
      let next = this.audit.newest() > 0 ? this.audit.newest() + 1 : await this.firstAudit();
      for (let tries = 0; next > 0 && tries < AUDIT_TRIES && this.connected; ) {
        const sequence = await this.readRecord(next);
        if (sequence > 0) {
          next = sequence + 1;
          this.auditAwaited = Math.max(0, this.auditAwaited - 1);
        } else if (this.auditAwaited > 0) {
          tries++;
          await wait(AUDIT_SOON_MS);
        } else {
          break;
        }
      }
      this.auditText = "";
    } catch (error) {
      this.auditText = this.auditDenied() ? AUDIT_DENIED : this.connected ? auditTrouble(error) : "";
    }
    this.auditReading = false;
    this.auditAwaited = 0;
    this.frames.dirty("audit");
  }

  /** Where to begin, so that the newest few are shown; 0: there is none. */
  private async firstAudit(): Promise<number> {
    const last = await this.net.request(AUDIT, `{"last_by_subj":"${AUDIT_SUBJECTS}"}`, REQUEST_MS);
    return last.code >= 400 || last.sequence === 0 ? 0 : Math.max(1, last.sequence - AUDIT_SHOWN_FIRST + 1);
  }

  /** The record at a sequence or the first behind it; 0: there is none. */
  private async readRecord(sequence: number): Promise<number> {
    const body = JSON.stringify({ seq: sequence, next_by_subj: AUDIT_SUBJECTS });
    const answer = await this.net.request(AUDIT, body, REQUEST_MS);
    if (answer.code >= 400 || answer.sequence === 0) {
      return 0;
    }
    const record = parseAudit(answer.text);
    if (record !== undefined) {
      this.audit.take(answer.sequence, record);
    }
    return answer.sequence;
  }
}
