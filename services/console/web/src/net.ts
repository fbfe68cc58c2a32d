// The connection to NATS: made again for as long as the page is open, and said aloud when it is not
// there. Nothing here knows what the subjects mean.
import {
  AuthorizationError,
  createInbox,
  type Msg,
  type NatsConnection,
  PermissionViolationError,
  type Subscription,
  wsconnect,
} from "@nats-io/nats-core";

export type NetState = "connecting" | "connected" | "lost" | "signin";

export interface Credentials {
  user: string;
  password: string;
}

export interface NetEvents {
  state(state: NetState, text: string): void;
  /** A subject that this user may not have. */
  denied(operation: string, subject: string): void;
}

export interface Answer {
  data: Uint8Array;
  text: string;
  /** 0, or of the header Status (JetStream) or Nats-Service-Error-Code. */
  code: number;
  sequence: number;
}

const RETRY_MS = 2_000;
const PING_MS = 5_000;

function reason(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : "no answer";
}

export class Net {
  private connection: NatsConnection | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private credentials: Credentials | undefined;
  /** Counts connections that were made anew: subscriptions live as long as one of them. */
  generation = 0;

  constructor(
    private readonly url: string,
    private readonly events: NetEvents,
  ) {}

  get principal(): string | undefined {
    return this.credentials?.user;
  }

  get connected(): boolean {
    return this.connection !== undefined && !this.connection.isClosed();
  }

  /** Where answers may come to: a signed in user has an inbox of its own. */
  private prefix(): string {
    return this.credentials === undefined ? "_INBOX" : `_INBOX_${this.credentials.user}`;
  }

  inbox(): string {
    return createInbox(this.prefix());
  }

  async connect(credentials?: Credentials): Promise<void> {
    clearTimeout(this.retry);
    this.credentials = credentials;
    this.events.state("connecting", `to ${this.url}`);
    try {
      const connection = await wsconnect({
        servers: this.url,
        name: "meltica-console/page",
        inboxPrefix: this.prefix(),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 500,
        reconnectJitter: 500,
        pingInterval: PING_MS,
        maxPingOut: 2,
        timeout: 5_000,
        ignoreClusterUpdates: true, // the page may reach this one URL only
        ...(credentials === undefined ? {} : { user: credentials.user, pass: credentials.password }),
      });
      this.connection = connection;
      this.generation++;
      void this.watch(connection);
      void this.await(connection);
      this.events.state("connected", connection.info?.server_name ?? "");
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    this.connection = undefined;
    if (error instanceof AuthorizationError) {
      this.events.state("signin", this.credentials === undefined ? "" : "User or password is wrong.");
      return;
    }
    this.events.state("lost", `${this.url} is not reached (${reason(error)}); trying on`);
    this.retry = setTimeout(() => void this.connect(this.credentials), RETRY_MS);
  }

  private async watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      switch (status.type) {
        case "disconnect":
        case "staleConnection":
          this.events.state("lost", "the connection broke; trying on");
          break;
        case "reconnect":
          this.events.state("connected", connection.info?.server_name ?? "");
          break;
        case "error":
          if (status.error instanceof PermissionViolationError) {
            this.events.denied(status.error.operation, status.error.subject);
          }
          break;
        default:
      }
    }
  }

  private async await(connection: NatsConnection): Promise<void> {
    const error = await connection.closed();
    if (this.connection === connection) {
      this.failed(error ?? new Error("closed"));
    }
  }

  /** undefined: there is no connection. What arrives goes to take, in order. */
  subscribe(subject: string, take: (message: Msg) => void): Subscription | undefined {
    return this.connection?.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) {
          take(message);
        }
      },
    });
  }

  publish(subject: string, reply: string): void {
    if (this.connected) {
      this.connection?.publish(subject, "", { reply });
    }
  }

  /** Done when all that the server had sent before is handed on: a busy page may be behind. */
  async caughtUp(): Promise<void> {
    await this.connection?.flush();
  }

  /** Rejects where nobody answers in time. */
  async request(subject: string, body: string, timeout: number): Promise<Answer> {
    if (this.connection === undefined) {
      throw new Error("not connected");
    }
    const message = await this.connection.request(subject, body, { timeout });
    const code = message.headers?.get("Nats-Service-Error-Code") ?? "";
    return {
      data: message.data,
      text: message.string(),
      code: message.headers?.code || Number(code) || 0,
      sequence: Number(message.headers?.get("Nats-Sequence") ?? "") || 0,
    };
  }
}
