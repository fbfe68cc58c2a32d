// What is subscribed, and the buttons that ask the Control Bus. Locked until somebody unlocks it.
import type { App } from "../app";
import { readInstruments, type Subscription } from "../control";
import { byId, make, pool, setAttribute, setText } from "../dom";

const INSTRUMENTS_SHOWN = 4;

/** The row whose End waits for a second press; it is forgotten when the pointer or focus leaves. */
let asked = "";

function createRow(): HTMLTableRowElement {
  const row = make("tr");
  for (const name of ["type", "names", "consumer", "state", "lease", "change"]) {
    row.append(make("td", name));
  }
  const button = make("button", "", "End");
  button.type = "button";
  row.lastElementChild?.append(button);
  return row;
}

function lease(seconds: number | undefined): string {
  if (seconds === undefined) {
    return "";
  }
  if (seconds >= 5_400) {
    return `${Math.round(seconds / 3_600)} h left`;
  }
  return seconds >= 90 ? `${Math.round(seconds / 60)} min left` : `${Math.max(0, Math.round(seconds))} s left`;
}

function names(list: string[]): string {
  const more = list.length > INSTRUMENTS_SHOWN ? ` +${list.length - INSTRUMENTS_SHOWN}` : "";
  return list.slice(0, INSTRUMENTS_SHOWN).join(" ") + more;
}

function tone(state: string): string {
  return state === "CONFIRMED" ? "good" : state === "FAILED" ? "bad" : state === "" ? "none" : "warn";
}

function drawRow(app: App, row: HTMLTableRowElement, s: Subscription): void {
  const cells = [...row.children];
  const texts = [
    s.type,
    names(s.instruments),
    s.fixed ? "dispatch table" : s.principal === "" ? s.consumer : `${s.principal} / ${s.consumer}`,
    s.fixed ? "fixed" : s.state.toLowerCase(),
    s.fixed ? "" : lease(s.leaseLeft),
  ];
  for (const [i, text] of texts.entries()) {
    const cell = cells[i];
    if (cell !== undefined) {
      setText(cell, i === 1 && s.terms !== "" ? `${text}  (${s.terms})` : text);
    }
  }
  setAttribute(row, "data-tone", tone(s.state));
  setAttribute(row, "data-consumer", s.consumer);
  setAttribute(row, "data-subscription", s.subscription);
  setAttribute(row, "title", s.instruments.join(" "));
  const button = row.querySelector("button");
  if (button !== null) {
    const sure = asked === s.subscription && asked !== "";
    button.hidden = s.fixed || !app.config.control;
    button.disabled = !app.unlocked || !app.connected;
    setText(button, sure ? "End it?" : "End");
    setAttribute(button, "data-sure", String(sure));
    setAttribute(button, "aria-label", `${sure ? "Really end" : "End"} ${s.type} ${names(s.instruments)} of ${s.consumer}`);
  }
}

export function drawSubscriptions(app: App): void {
  const list = [...app.subscriptions, ...(app.offer?.fixed ?? [])];
  const rows = pool(byId("subs"), list.length, createRow);
  for (const [i, subscription] of list.entries()) {
    const row = rows[i];
    if (row !== undefined) {
      drawRow(app, row, subscription);
    }
  }
  const mode = !app.config.control
    ? "read only: the console was started without --control"
    : app.unlocked
      ? ""
      : "locked";
  setText(byId("subscriptions-text"), [app.subscriptionsText, mode].filter((t) => t !== "").join(" · "));
  drawForm(app);
  const said = byId("outcome");
  setText(said, app.outcome?.text ?? "");
  setAttribute(said, "data-tone", app.outcome === undefined || app.outcome.ok ? "good" : "bad");
}

function drawForm(app: App): void {
  const form = byId<HTMLFormElement>("subscribe");
  form.hidden = !app.config.control;
  for (const field of form.querySelectorAll<HTMLInputElement | HTMLSelectElement | HTMLButtonElement>("input,select,button")) {
    field.disabled = !app.unlocked || !app.connected;
  }
  const type = byId<HTMLSelectElement>("sub-type");
  const types = app.offer?.types ?? [];
  if (type.options.length !== types.length) {
    type.replaceChildren(...types.map((t) => new Option(t, t, t === "BOOK", t === "BOOK")));
  }
}

export function setUpSubscriptions(app: App): void {
  const body = byId("subs");
  const forget = (): void => {
    if (asked !== "") {
      asked = "";
      app.changed("subs");
    }
  };
  body.addEventListener("click", (event) => {
    const button = (event.target as Element).closest("button");
    const id = button?.closest("tr")?.dataset["subscription"];
    const subscription = app.subscriptions.find((s) => s.subscription === id);
    if (subscription === undefined || id === undefined) {
      return;
    }
    if (asked === id) {
      asked = "";
      void app.unsubscribe(subscription);
    } else {
      asked = id;
    }
    app.changed("subs");
  });
  body.addEventListener("mouseleave", forget);
  body.addEventListener("focusout", (event) => {
    if (!body.contains(event.relatedTarget as Node | null)) {
      forget();
    }
  });
  byId<HTMLFormElement>("subscribe").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = byId<HTMLInputElement>("sub-instruments");
    const instruments = readInstruments(field.value);
    if (instruments.length > 0) {
      void app.subscribe(
        byId<HTMLInputElement>("sub-consumer").value,
        byId<HTMLSelectElement>("sub-type").value,
        instruments,
        Number(byId<HTMLSelectElement>("sub-ttl").value),
      );
    }
  });
}
