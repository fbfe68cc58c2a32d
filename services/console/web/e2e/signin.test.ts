// A server that knows its users: the page signs in, and shows what the user may see. No services
// run here; what is asked of them is answered by nobody.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { bin, DEADLINE_MS, dev, ended, root, until } from "./stack";

const POLICY = {
  version: 1,
  roles: {
    viewer: { verbs: ["list", "describe", "status"], types: ["*"], instruments: ["*"], subscriptions: 0, streams: 0, wildcard_matches: 0 },
    narrow: { verbs: ["list"], types: ["*"], instruments: ["BTC-USDT"], subscriptions: 0, streams: 0, wildcard_matches: 0 },
  },
  principals: { watcher: "viewer", narrow: "narrow" },
};

const folder = mkdtempSync(join(tmpdir(), "meltica-signin-e2e."));
const children: ChildProcess[] = [];
let browser: Browser;
let page: Page;

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        done(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
  });
}

function put(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

async function users(): Promise<string> {
  const options = ["--policy", put("policy", JSON.stringify(POLICY)), "--cost", "4", "--console", "watcher"];
  for (const user of ["watcher", "narrow"]) {
    options.push("--user", `${user}=${put(user, `password of ${user}\n`)}`);
  }
  options.push("--service-user", `console=${put("console", "password of the service\n")}`);
  const child = spawn(dev, ["shell", join(bin, "meltica"), "nats-auth", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (bytes: Buffer) => {
    out += bytes.toString();
  });
  await ended(child);
  return out;
}

/** Until a line of its words has the text; what the line says. */
// Of each child all that it said since it began: what is asked for may have come with what was asked for before.
const logs = new Map<ChildProcess, string>();

function said(child: ChildProcess, text: string): Promise<string> {
  return until(`"${text}" in the log`, () => {
    const all = logs.get(child) ?? "";
    if (child.exitCode !== null) {
      throw new Error(`it ended:\n${all}`);
    }
    return all.split("\n").find((line) => line.includes(text));
  });
}

function run(...words: string[]): ChildProcess {
  const child = spawn(dev, ["shell", ...words], { stdio: ["ignore", "ignore", "pipe"] });
  child.stderr.on("data", (bytes: Buffer) => {
    logs.set(child, ((logs.get(child) ?? "") + bytes.toString()).slice(-20_000));
  });
  children.push(child);
  return child;
}

before(async () => {
  const [port, websocket] = [await freePort(), await freePort()];
  const config = put(
    "nats.conf",
    `listen: "127.0.0.1:${port}"\nwebsocket { listen: "127.0.0.1:${websocket}", no_tls: true }\n${await users()}`,
  );
  await said(run("nats-server", "-c", config), "Server is ready");
  const service = run(
    join(bin, "meltica-console"),
    ...["--nats-url", `nats://127.0.0.1:${port}`, "--http-host", "127.0.0.1", "--web-dir", join(root, "build/console")],
    ...["--nats-user", "meltica-console", "--nats-password-file", join(folder, "console")],
    ...["--nats-ws-url", `ws://127.0.0.1:${websocket}`, "--control", "true"],
  );
  const listening = await said(service, '"event":"listening"');
  await said(service, '"event":"ready"'); // its own rights are enough for it
  browser = await chromium.launch({
    executablePath: process.env["MELTICA_CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(DEADLINE_MS);
  await page.goto(`http://127.0.0.1:${String((JSON.parse(listening) as { port: number | string }).port)}/`);
});

after(async () => {
  await browser?.close();
  for (const child of children) {
    child.kill("SIGTERM");
    await ended(child);
  }
  rmSync(folder, { recursive: true, force: true });
});

async function waitText(selector: string, wanted: RegExp): Promise<void> {
  await page.waitForFunction(
    ([s, source]) => new RegExp(source ?? "").test(document.querySelector(s ?? "")?.textContent ?? ""),
    [selector, wanted.source],
  );
}

async function signIn(user: string, password: string): Promise<void> {
  await page.waitForSelector("#signin[open]");
  await page.fill("#signin-user", user);
  await page.fill("#signin-password", password);
  await page.keyboard.press("Enter");
}

test("a wrong password is said, and another try is open", async () => {
  await waitText("#connection-word", /^Signed out$/);
  await signIn("watcher", "wrong");
  await waitText("#signin-text", /^User or password is wrong\.$/);
  assert.equal(await page.inputValue("#signin-password"), "");
});

test("who may use the console is refused nothing", async () => {
  await signIn("watcher", "password of watcher");
  await waitText("#connection-word", /^Connected$/);
  await waitText("#connection-text", /as watcher$/);
  await waitText("#flow-text", /^away: adapter, dispatcher, conductor, data-bus, control$/);
  await waitText("#subscriptions-text", /the Control Bus does not answer/);
  assert.ok(await page.isHidden("#notice"));
  assert.doesNotMatch((await page.textContent("#audit-text")) ?? "", /permitted/);
  const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie, location.href]));
  assert.ok(!kept.includes("password"), "nothing keeps the password");
});

test("who may not is told so, and still reads what is its own", async () => {
  await page.reload();
  await signIn("narrow", "password of narrow");
  await waitText("#connection-word", /^Connected$/);
  await waitText("#flow-text", /^this user may not ask the services$/);
  await waitText("#audit-text", /^not permitted for this user$/);
  await waitText("#notice-text", /Name one in the filter/);
  await page.fill("#filter", "btc-usdt");
  await page.press("#filter", "Enter");
  await waitText("#book-title", /^BTC-USDT$/);
  await waitText("#book-word", /^NO BOOK$/);
});
