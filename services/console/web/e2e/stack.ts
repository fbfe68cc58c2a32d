// A whole demo with its console, as ./dev demo --console starts it, and its tool for a second opinion.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const root = join(process.cwd(), "../../..");
export const bin = process.env["MELTICA_CONSOLE_BIN"] ?? join(root, "build/release/bin");
export const dev = join(root, "dev");

export const DEADLINE_MS = 120_000;

/** Polls a condition of another process; a browser's own are waited for by events. */
export async function until<T>(what: string, ask: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const found = await ask();
    if (found !== undefined) {
      return found;
    }
    if (Date.now() > end) {
      throw new Error(`not in ${DEADLINE_MS} ms: ${what}`);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
}

export function ended(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      done();
    } else {
      child.once("exit", () => {
        done();
      });
    }
  });
}

export interface Level {
  price: string;
  quantity: string;
}

export interface ToldBook {
  bids: Level[];
  asks: Level[];
}

export class Stack {
  private readonly folder = mkdtempSync(join(tmpdir(), "meltica-console-e2e."));
  private readonly demo: ChildProcess;
  private nats: ChildProcess | undefined;
  private tail: ChildProcess | undefined;
  private said = "";
  /** BOOKs by update id, as `meltica tail --json` printed them. */
  readonly books = new Map<string, ToldBook>();

  constructor() {
    const options = ["--console", "--synthetic", "--symbols", "12", "--rate", "150", "--keep", this.folder];
    this.demo = spawn(dev, ["shell", join(root, "tools/demo/demo.sh"), bin, root, ...options], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.demo.stdout, this.demo.stderr]) {
      stream?.on("data", (bytes: Buffer) => {
        this.said = (this.said + bytes.toString()).slice(0, 20_000); // the table that follows is not read
      });
    }
  }

  /** The word behind a name in what the demo said. */
  async address(name: string): Promise<string> {
    return until(`"${name}" of the demo, which said:\n${this.said}`, () => {
      if (this.demo.exitCode !== null) {
        throw new Error(`the demo ended:\n${this.said}`);
      }
      return new RegExp(`^  ${name} +(\\S+)`, "m").exec(this.said)?.[1];
    });
  }

  async metric(service: string, line: string): Promise<number> {
    const text = await (await fetch(await this.address(service))).text();
    const found = text.split("\n").find((l) => l.startsWith(`${line} `));
    if (found === undefined) {
      throw new Error(`${service} has no ${line}`);
    }
    return Number(found.slice(line.length));
  }

  async meltica(...words: string[]): Promise<string> {
    const url = await this.address("nats");
    const child = spawn(dev, ["shell", join(bin, "meltica"), ...words, "--nats-url", url], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let out = "";
    child.stdout.on("data", (bytes: Buffer) => {
      out += bytes.toString();
    });
    await ended(child);
    return out;
  }

  /** Keeps the BOOKs of an instrument from here on. */
  async follow(instrument: string): Promise<void> {
    const url = await this.address("nats");
    const child = spawn(dev, ["shell", join(bin, "meltica"), "tail", instrument, "--json", "--nats-url", url], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.tail = child;
    let rest = "";
    child.stdout.on("data", (bytes: Buffer) => {
      const lines = (rest + bytes.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines.filter((l) => l.includes('"book":{'))) {
        const book = (JSON.parse(line) as { book: { bids: string[][]; asks: string[][]; last_update_id: string } }).book;
        const side = (levels: string[][]): Level[] => levels.map(([price, quantity]) => ({ price: price ?? "", quantity: quantity ?? "" }));
        this.books.set(book.last_update_id, { bids: side(book.bids), asks: side(book.asks) });
      }
    });
    await until("a BOOK in meltica tail", () => (this.books.size > 0 ? true : undefined));
  }

  async unfollow(): Promise<void> {
    if (this.tail !== undefined) {
      this.tail.kill("SIGTERM");
      await ended(this.tail);
    }
  }

  /** A process of this demo and no other: what it says goes to a file in this demo's folder. */
  private pidOf(name: string): number {
    for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
      try {
        if (readlinkSync(`/proc/${pid}/fd/1`).endsWith(join(this.folder, "log", `${name}.out`))) {
          return Number(pid);
        }
      } catch {
        // it ended meanwhile, or has no such descriptor
      }
    }
    throw new Error(`no ${name} of ${this.folder}`);
  }

  kill(name: "nats" | "exchange"): void {
    process.kill(this.pidOf(name), "SIGKILL");
  }

  /** On the ports that it had. */
  async startNats(): Promise<void> {
    const port = new URL((await this.address("nats")).replace("nats:", "http:")).port;
    const config = join(this.folder, "nats-again.conf");
    const text = readFileSync(join(this.folder, "nats.conf"), "utf8");
    writeFileSync(config, text.replace(/^listen: .*$/m, `listen: "127.0.0.1:${port}"`));
    this.nats = spawn(dev, ["shell", "nats-server", "-c", config], { stdio: "ignore" });
  }

  async stop(): Promise<void> {
    for (const child of [this.tail, this.demo, this.nats]) {
      if (child !== undefined) {
        child.kill("SIGTERM");
        await ended(child);
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
