// The page in a real Chromium against a real demo. One story, in order: each step goes on from the
// one before.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { DEADLINE_MS, Stack, type ToldBook, until } from "./stack";

const SHOTS = join(process.cwd(), "../../../build/console-shots");
const SIZES = [
  { name: "1280", width: 1280, height: 860 },
  { name: "390", width: 390, height: 844 },
];
const SCHEMES = ["light", "dark"] as const;

let stack: Stack;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let url: string;
const complaints: string[] = [];

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  stack = new Stack();
  url = await stack.address("open");
  browser = await chromium.launch({
    executablePath: process.env["MELTICA_CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
  context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "light", reducedMotion: "reduce" });
  page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("WebSocket connection")) {
      complaints.push(message.text());
    }
  });
  await page.goto(url);
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

async function text(selector: string): Promise<string> {
  return (await page.textContent(selector)) ?? "";
}

async function waitText(selector: string, wanted: RegExp): Promise<void> {
  await page.waitForFunction(
    ([s, source]) => new RegExp(source ?? "").test(document.querySelector(s ?? "")?.textContent ?? ""),
    [selector, wanted.source],
  );
}

function number(shown: string): number {
  const plain = shown.replace(/[\u2009\u202f]/g, "");
  const scale = plain.endsWith("k") ? 1e3 : plain.endsWith("M") ? 1e6 : 1;
  return Number(plain.replace(/[kM]$/, "")) * scale;
}

async function rates(): Promise<Record<string, number>> {
  const shown = await page.$$eval("[data-station]", (cards) =>
    cards.map((card) => [card.getAttribute("data-station") ?? "", card.querySelector(".rate")?.textContent ?? ""]),
  );
  return Object.fromEntries(shown.map(([name, rate]) => [name, number(rate ?? "")]));
}

async function flowing(): Promise<Record<string, number>> {
  return until("a rate at each of the five stations", async () => {
    const now = await rates();
    const values = Object.values(now);
    return values.length === 5 && values.every((rate) => rate > 0) ? now : undefined;
  });
}

/** Zeros at the end of a fraction say nothing; the page leaves out those that no level needs. */
function plain(decimal: string): string {
  return decimal.includes(".") ? decimal.replace(/\.?0+$/, "") : decimal;
}

interface Shown {
  update: string;
  usable: string;
  asks: string[][];
  bids: string[][];
}

/** One moment of the page: nothing is drawn while this runs. */
function ladder(): Promise<Shown> {
  return page.evaluate(() => {
    const side = (id: string): string[][] =>
      [...document.querySelectorAll(`#${id} tr`)]
        .map((row) => [...row.children].map((cell) => (cell.textContent ?? "").replace(/\u2009/g, "")))
        .filter((cells) => cells[2] !== "");
    const book = document.querySelector<HTMLElement>("#book");
    return {
      update: book?.dataset["update"] ?? "",
      usable: book?.dataset["usable"] ?? "",
      asks: side("asks").reverse(),
      bids: side("bids"),
    };
  });
}

function compare(shown: Shown, told: ToldBook): void {
  for (const name of ["bids", "asks"] as const) {
    const levels = told[name].slice(0, 10);
    assert.equal(shown[name].length, levels.length, name);
    let sum = 0n;
    for (const [i, level] of levels.entries()) {
      const [total, quantity, price] = shown[name][i] ?? [];
      assert.equal(plain(price ?? ""), plain(level.price));
      assert.equal(plain(quantity ?? ""), plain(level.quantity));
      sum += BigInt(level.quantity.replace(".", "")); // all have the instrument's exponent
      const digits = level.quantity.length - level.quantity.indexOf(".") - 1;
      assert.equal(BigInt((total ?? "").replace(".", "")) * 10n ** BigInt(digits - fraction(total ?? "")), sum);
    }
  }
}

function fraction(decimal: string): number {
  return decimal.includes(".") ? decimal.length - decimal.indexOf(".") - 1 : 0;
}

test("live rates at every hop, as the services themselves count", async () => {
  await waitText("#connection-word", /^Connected$/);
  await flowing();
  const line = "meltica_bus_out_total";
  const [from, began] = [await stack.metric("data-bus", line), Date.now()];
  await page.waitForTimeout(6_000); // a stretch of time to measure a rate over
  const [to, ended] = [await stack.metric("data-bus", line), Date.now()];
  const truth = ((to - from) * 1000) / (ended - began);
  const now = await flowing();
  for (const [name, rate] of [["Data Bus", now["Data Bus"]], ["This page", now["This page"]]] as const) {
    assert.ok(rate !== undefined && rate > truth * 0.5 && rate < truth * 1.5, `${name}: ${rate}, counted ${truth}`);
  }
});

test("latency by stage", async () => {
  await waitText("[data-stage=total] td", /\d/);
  const stages = await page.$$eval("#stages tbody", (bodies) =>
    bodies.map((body) => [body.getAttribute("data-stage"), body.querySelector("td")?.textContent, body.querySelector("path")?.getAttribute("d")]),
  );
  assert.deepEqual(stages.map(([stage]) => stage), ["exchange", "adapt", "dispatch", "conduct", "publish", "total", "page"]);
  for (const [stage, p50, path] of stages) {
    assert.match(p50 ?? "", /^[\d.]+\u202f(ns|µs|ms|s)$/, stage ?? "");
    assert.ok(path !== "", `no picture of ${stage}`);
  }
});

test("the ladder is what the BOOK event says, to the last digit", async () => {
  await stack.follow("SYM0002-USDT");
  await page.click('[data-instrument="SYM0002-USDT"]');
  await waitText("#book-title", /^SYM0002-USDT$/);
  await waitText("#book-word", /^LIVE$/);
  const seen = new Set<string>();
  await until("twenty ladders that were told elsewhere too", async () => {
    const shown = await ladder();
    const told = stack.books.get(shown.update);
    if (told !== undefined && !seen.has(shown.update)) {
      assert.equal(shown.usable, "true");
      assert.ok(shown.bids.length > 0 && shown.asks.length > 0);
      compare(shown, told);
      seen.add(shown.update);
    }
    return seen.size >= 20 ? true : undefined;
  });
  await stack.unfollow();
  assert.match((await page.getAttribute("#depth", "aria-label")) ?? "", /^Depth chart from \d/);
  assert.ok(((await page.getAttribute("#depth-bids", "d")) ?? "").length > 20);
});

test("nothing can be changed before it is unlocked", async () => {
  await waitText("#subs", /dispatch table/);
  assert.ok(await page.isDisabled("#sub-go"));
  assert.ok(await page.isDisabled("#sub-instruments"));
  assert.match(await text("#subscriptions-text"), /locked/);
});

async function own(): Promise<{ type: string; instruments: string[]; state: string }[]> {
  const answer = JSON.parse(await stack.meltica("subs", "--json", "--consumer", "console")) as {
    subscriptions: { type: string; instruments: string[]; state: string }[];
  };
  return answer.subscriptions;
}

test("a subscription is made and ended by buttons, as the Control Bus itself says", async () => {
  await page.click("#lock");
  await page.fill("#sub-instruments", "sym0003-usdt");
  await page.selectOption("#sub-type", "TRADE");
  await page.selectOption("#sub-ttl", "3600");
  await page.click("#sub-go");
  await waitText("#outcome", /^Subscribe confirmed in \d+ ms: TRADE SYM0003-USDT$/);
  const row = "#subs tr[data-consumer=console]";
  await waitText(row, /TRADE.*SYM0003-USDT.*confirmed.*(1 h|60 min|59 min) left/);
  const [made] = await own();
  assert.deepEqual([made?.type, made?.instruments, made?.state], ["TRADE", ["SYM0003-USDT"], "CONFIRMED"]);
  await waitText("#records li", /confirmed.*subscribe.*local \/ console.*TRADE SYM0003-USDT/);

  await page.fill("#sub-instruments", "NO-SUCH");
  await page.click("#sub-go");
  await waitText("#outcome", /^Subscribe refused, 404: /);
  await waitText("#records li", /rejected.*subscribe.*TRADE NO-SUCH/);

  const button = page.locator(row).locator("button");
  await button.click();
  await waitText(`${row} button`, /^End it\?$/);
  assert.equal((await own()).length, 1, "one press ends nothing");
  await button.click();
  await waitText("#outcome", /^End confirmed/);
  await page.waitForSelector(row, { state: "detached" });
  assert.equal((await own()).length, 0);
  await waitText("#records li", /confirmed.*unsubscribe/);

  await page.fill("#sub-instruments", "SYM0001-USDT *-USDT"); // one that stays, for those who look at the picture
  await page.selectOption("#sub-type", "BBO");
  await page.selectOption("#sub-ttl", "28800");
  await page.click("#sub-go");
  await waitText(row, /BBO.*confirmed/);
  await page.fill("#sub-instruments", "");
  await page.click("#lock");
  await page.waitForSelector("#sub-go:disabled"); // drawn with the next frame
});

test("keys alone reach everything", async () => {
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "filter");
  await page.keyboard.type("0004");
  await waitText("#list", /^SYM0004/);
  await page.keyboard.press("Enter");
  await waitText("#book-title", /^SYM0004-USDT$/);
  await page.keyboard.press("Escape");
  await waitText("#list", /SYM0001/);
  await page.keyboard.press("k");
  await waitText("#book-title", /^SYM0003-USDT$/);
  await page.focus("#list");
  await page.keyboard.press("ArrowUp");
  await waitText("#book-title", /^SYM0002-USDT$/);
  await page.waitForSelector('#list [data-instrument="SYM0002-USDT"][aria-selected=true]');
  assert.equal(
    await page.evaluate(() => {
      const id = document.querySelector("#list")?.getAttribute("aria-activedescendant") ?? "";
      return document.getElementById(id)?.dataset["instrument"];
    }),
    "SYM0002-USDT",
  );
  await page.keyboard.press("5");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "subscriptions");
  await page.keyboard.press("?");
  await page.waitForSelector("#keys[open]");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#keys", { state: "hidden" });
  for (const theme of ["light", "dark", "system"]) {
    await page.keyboard.press("t");
    await waitText("#theme-word", new RegExp(`^${theme}$`));
  }
});

interface Axe {
  run(context: Document): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>;
}

test("both sizes, both themes: nothing runs out of the page", async () => {
  for (const size of SIZES) {
    for (const scheme of SCHEMES) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme: scheme });
      await page.evaluate(() => {
        scrollTo(0, 0);
      });
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), size.width);
      await page.evaluate(() => {
        (document.activeElement as HTMLElement | null)?.blur();
      });
      await page.screenshot({ path: join(SHOTS, `${size.name}-${scheme}.png`), fullPage: true });
    }
  }
});

test("the accessibility checker is content", async () => {
  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(axe);
  for (const size of SIZES) {
    for (const scheme of SCHEMES) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme: scheme });
      const found = await page.evaluate(
        async () => (await (globalThis as unknown as { axe: Axe }).axe.run(document)).violations,
      );
      const serious = found.filter((v) => v.impact === "serious" || v.impact === "critical");
      assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes[0]?.html}`), [], `${size.name} ${scheme}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.emulateMedia({ colorScheme: "light" });
});

test("the page does not grow while events pass", async () => {
  const count = (): Promise<number> => page.evaluate(() => document.querySelectorAll("*").length);
  const [nodes, events] = [await count(), await text("#book-facts")];
  await page.waitForTimeout(3_000);
  assert.notEqual(await text("#book-facts"), events);
  assert.ok(Math.abs((await count()) - nodes) < 30);
});

test("after NATS died and came back: it says so, and goes on by itself", async () => {
  await waitText("#book-word", /^LIVE$/);
  stack.kill("nats");
  await waitText("#connection-word", /^Not connected$/);
  await waitText("#book-word", /^NOT CONNECTED$/);
  const shown = await ladder();
  assert.equal(shown.usable, "false");
  assert.ok(!(await page.isHidden("#book-text")));
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("#levels") ?? document.body).filter), "grayscale(1)");
  await page.screenshot({ path: join(SHOTS, "1280-away.png"), fullPage: true });
  await stack.startNats();
  await waitText("#connection-word", /^Connected$/);
  await waitText("#book-word", /^LIVE$/);
  await flowing();
  assert.equal((await ladder()).usable, "true");
});

test("a book that is not LIVE looks so", async () => {
  stack.kill("exchange");
  await waitText("#book-word", /^(STALE|GAP|SYNCING)$/);
  const shown = await ladder();
  assert.equal(shown.usable, "false");
  assert.ok(!(await page.isHidden("#book-text")));
  await page.screenshot({ path: join(SHOTS, "1280-stale.png"), fullPage: true });
});

test("a page of another origin gets no connection to NATS", async () => {
  const config = (await (await fetch(`${url}config.json`)).json()) as { nats_ws: string };
  const status = await new Promise<number>((done, fail) => {
    const request = http.get(config.nats_ws.replace("ws:", "http:"), {
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        Origin: "http://elsewhere.example",
      },
    });
    request.on("response", (response) => {
      done(response.statusCode ?? 0);
    });
    request.on("upgrade", (_response, socket) => {
      socket.destroy();
      done(101);
    });
    request.on("error", fail);
  });
  assert.equal(status, 403);
});

test("the browser had nothing to complain of", () => {
  assert.deepEqual(complaints, []);
});
