// The list of instruments: filter, choice by mouse and keys.
import type { App } from "../app";
import { instrumentName, type Row } from "../board";
import { byId, make, pool, setAttribute, setText } from "../dom";
import { grouped } from "../decimal";
import { rateText } from "../rates";
import { keep } from "./head";

const SHOWN = 60;
const STATE_WORDS = ["no book", "idle", "syncing", "live", "gap", "stale"];
const STATE_TONES = ["none", "none", "warn", "good", "bad", "warn"];

let shown: Row[] = [];

export function choose(app: App, instrument: string): void {
  keep("instrument", instrument);
  app.select(instrument);
}

/** The instrument so many places further down the list. */
export function step(app: App, by: number): void {
  if (shown.length === 0) {
    return;
  }
  const at = shown.findIndex((row) => row.instrument === app.book.instrument);
  const next = shown[Math.max(0, Math.min(shown.length - 1, at + by))];
  if (next !== undefined) {
    choose(app, next.instrument);
    byId("list").querySelector(`[data-instrument="${CSS.escape(next.instrument)}"]`)?.scrollIntoView({ block: "nearest" });
  }
}

export function setUpInstruments(app: App): void {
  const list = byId("list");
  const filter = byId<HTMLInputElement>("filter");
  filter.addEventListener("input", () => {
    app.changed("list");
  });
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && filter.value.trim() !== "") {
      const first = shown[0];
      choose(app, first !== undefined ? first.instrument : filter.value.trim().toUpperCase());
    } else if (event.key === "Escape") {
      filter.value = "";
      filter.blur();
      app.changed("list");
    } else if (event.key === "ArrowDown") {
      list.focus();
    }
  });
  list.addEventListener("click", (event) => {
    const row = (event.target as Element).closest<HTMLElement>("[data-instrument]");
    if (row?.dataset["instrument"] !== undefined) {
      choose(app, row.dataset["instrument"]);
    }
  });
  list.addEventListener("keydown", (event) => {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, Home: -SHOWN, End: SHOWN, PageDown: 10, PageUp: -10 };
    const by = steps[event.key];
    if (by !== undefined) {
      event.preventDefault();
      step(app, by);
    }
  });
  byId("resume").addEventListener("click", () => {
    app.followAll();
  });
}

function createRow(): HTMLDivElement {
  const row = make("div", "instrument");
  row.setAttribute("role", "option");
  const name = make("span", "name");
  name.append(make("span", "dot"), make("span", "token"), make("span", "hidden state"));
  row.append(name, make("span", "price"), make("span", "rate"));
  return row;
}

function drawRow(app: App, element: HTMLElement, row: Row, index: number, nowMs: number): void {
  const at = (selector: string): Element => element.querySelector(selector) ?? element;
  const chosen = row.instrument === app.book.instrument;
  element.id = `instrument-${index}`;
  setAttribute(element, "data-instrument", row.instrument);
  setAttribute(element, "aria-selected", String(chosen));
  const tone = row.sourceDown ? "bad" : (STATE_TONES[row.state] ?? "bad");
  setAttribute(element, "data-tone", app.connected ? tone : "none");
  setText(at(".token"), instrumentName(row.instrument));
  setText(at(".state"), `, ${row.sourceDown ? "source down" : (STATE_WORDS[row.state] ?? "unknown state")}`);
  setText(at(".price"), grouped(row.price()));
  setText(at(".rate"), `${rateText(row.rate.perSecond(nowMs))}/s`);
  if (chosen) {
    setAttribute(byId("list"), "aria-activedescendant", element.id);
  }
}

export function drawInstruments(app: App, nowMs: number): void {
  const filter = byId<HTMLInputElement>("filter").value;
  const all = app.board.list(filter, Infinity);
  shown = all.slice(0, SHOWN);
  const elements = pool(byId("list"), shown.length, createRow);
  for (const [i, row] of shown.entries()) {
    const element = elements[i];
    if (element !== undefined) {
      drawRow(app, element, row, i, nowMs);
    }
  }
  setText(byId("instruments-count"), app.board.size === 0 ? "none seen yet" : String(app.board.size));
  const more = byId("list-more");
  const hidden = all.length - shown.length + app.board.refused;
  more.hidden = hidden <= 0;
  setText(more, `${hidden} more: filter to see them`);
  byId("notice").hidden = app.notice === "";
  setText(byId("notice-text"), app.notice);
}
