// The chosen instrument: state, quality, measures, ladder, depth chart.
import type { App } from "../app";
import { instrumentName } from "../board";
import { condition, depth, ladder, measure, measures, outline, type Rung } from "../book";
import { grouped } from "../decimal";
import { byId, make, pool, setAttribute, setText } from "../dom";
import { duration } from "../histogram";
import { qualityWords } from "../wire";

const RUNGS = 10;
const WIDTH = 600;
const HEIGHT = 140;

function createRung(): HTMLTableRowElement {
  const row = make("tr", "rung");
  row.append(make("td", "total"), make("td", "quantity"), make("td", "price"));
  return row;
}

function drawSide(parent: HTMLElement, rungs: (Rung | undefined)[]): void {
  const rows = pool(parent, rungs.length, createRung);
  for (const [i, rung] of rungs.entries()) {
    const row = rows[i];
    if (row === undefined) {
      continue;
    }
    const [total, quantity, price] = [row.children[0], row.children[1], row.children[2]];
    if (total && quantity && price) {
      setText(total, rung === undefined ? "" : grouped(rung.total));
      setText(quantity, rung === undefined ? "" : grouped(rung.quantity));
      setText(price, rung === undefined ? "" : grouped(rung.price));
    }
    row.style.setProperty("--share", rung === undefined ? "0" : rung.share.toFixed(4));
  }
}

/** Always so many rows, so that nothing moves when a level goes. */
function padded(rungs: Rung[], last: boolean): (Rung | undefined)[] {
  const blank = new Array<undefined>(Math.max(0, RUNGS - rungs.length)).fill(undefined);
  return last ? [...blank, ...[...rungs].reverse()] : [...rungs, ...blank];
}

function drawDepth(app: App, visible: boolean): void {
  const payload = app.book.event?.payload;
  const chart = visible && payload?.case === "book" ? depth(payload.value, app.book.places) : undefined;
  setAttribute(byId("depth-bids"), "d", chart === undefined ? "" : outline(chart.bids, WIDTH, HEIGHT));
  setAttribute(byId("depth-asks"), "d", chart === undefined ? "" : outline(chart.asks, WIDTH, HEIGHT));
  setText(byId("depth-low"), chart === undefined ? "" : grouped(chart.low));
  setText(byId("depth-high"), chart === undefined ? "" : grouped(chart.high));
  setText(byId("depth-most"), chart === undefined ? "" : `up to ${grouped(chart.most)}`);
  const text =
    chart === undefined
      ? "Depth chart: no levels"
      : `Depth chart from ${chart.low} to ${chart.high}, up to ${chart.most} on the deeper side`;
  setAttribute(byId("depth"), "aria-label", text);
}

function drawMeasures(app: App, visible: boolean): void {
  const payload = app.book.event?.payload;
  const list = measures(visible && payload?.case === "book" ? payload.value.analytics : undefined);
  const items = pool(byId("measures"), list.length, () => {
    const item = make("div");
    item.append(make("dt"), make("dd"));
    return item;
  });
  for (const [i, entry] of list.entries()) {
    const item = items[i];
    if (item?.children[0] && item.children[1]) {
      setText(item.children[0], entry.name);
      setText(item.children[1], grouped(entry.value));
      setAttribute(item, "title", entry.title);
    }
  }
}

function facts(app: App, nowMs: number): string {
  const event = app.book.event;
  const payload = event?.payload;
  if (event === undefined || payload?.case !== "book") {
    return "";
  }
  const received = event.stamps?.received ?? 0n;
  const age = BigInt(nowMs) * 1_000_000n - received;
  const missed = app.book.missed > 0n ? ` · ${app.book.missed} missed` : "";
  return `update ${payload.value.lastUpdateId} · ${duration(Math.max(0, Number(age)))} old${missed}`;
}

export function drawBook(app: App, nowMs: number): void {
  const view = app.book;
  const state = condition(view, app.connected);
  const section = byId("book");
  const payload = view.event?.payload;
  const book = payload?.case === "book" ? payload.value : undefined;
  const visible = state.levels && book !== undefined;

  setText(byId("book-title"), view.instrument === "" ? "No instrument" : instrumentName(view.instrument));
  setText(byId("book-word"), state.word);
  setAttribute(byId("book-state"), "data-tone", state.tone);
  setAttribute(section, "data-usable", String(state.tone === "good"));
  setAttribute(section, "data-update", visible ? String(book.lastUpdateId) : "");
  setText(byId("book-facts"), facts(app, nowMs));
  const banner = byId("book-text");
  banner.hidden = state.text === "";
  setText(banner, state.text);
  setAttribute(banner, "data-tone", state.tone);

  const words = qualityWords(view.event?.quality ?? 0);
  const chips = pool(byId("quality"), words.length, () => make("li", "chip"));
  for (const [i, word] of words.entries()) {
    const chip = chips[i];
    if (chip !== undefined) {
      setText(chip, word);
      setAttribute(chip, "data-tone", word === "conflated" || word === "warming" ? "none" : "warn");
    }
  }

  const levels = visible ? ladder(book, RUNGS, view.places) : { bids: [], asks: [] };
  drawSide(byId("asks"), padded(levels.asks, true));
  drawSide(byId("bids"), padded(levels.bids, false));
  const spread = visible ? book.analytics?.spread : undefined;
  setText(byId("spread"), spread === undefined ? "–" : `spread ${measure(spread)}`);
  drawMeasures(app, visible);
  drawDepth(app, visible);
}
