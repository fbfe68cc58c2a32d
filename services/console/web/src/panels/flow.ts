// The stations of the flow with what passes them.
import type { App } from "../app";
import { byId, make, pool, setAttribute, setText, svg } from "../dom";
import { SERVICES, type StationView } from "../flow";
import { rateText, sparkline } from "../rates";

interface Card {
  title: string;
  /** What the page knows is from now. */
  known: boolean;
  up: boolean;
  count: number;
  rate: number | undefined;
  unit: string;
  series: readonly number[];
  fact: string;
  bad: boolean;
}

function plural(n: number, word: string): string {
  return `${n.toLocaleString("en").replace(/,/g, "\u2009")} ${word}${n === 1 ? "" : "s"}`;
}

function fact(view: StationView): { text: string; bad: boolean } {
  const d = view.data;
  if (view.up === 0) {
    return { text: "does not answer", bad: true };
  }
  switch (view.station.key) {
    case "adapter":
      return { text: `${plural(d["lines"] ?? 0, "line")} up`, bad: (d["lines"] ?? 0) === 0 };
    case "dispatcher":
      return { text: `${plural(d["rejected"] ?? 0, "refusal")}`, bad: (d["rejected"] ?? 0) > 0 };
    case "conductor": {
      return { text: `${plural(d["books_live"] ?? 0, "book")} live`, bad: false };
    }
    default:
      return { text: `${d["lost"] ?? 0} lost`, bad: (d["lost"] ?? 0) > 0 };
  }
}

function cards(app: App, nowMs: number): Card[] {
  const out = app.flow.view().map((view): Card => {
    const { text, bad } = fact(view);
    return {
      title: view.station.title,
      known: app.connected,
      up: view.up > 0,
      count: view.up,
      rate: app.connected && view.up > 0 ? view.rate : undefined,
      unit: view.station.unit,
      series: view.series,
      fact: app.connected ? text : "not known",
      bad: app.connected && bad,
    };
  });
  const odd = app.malformed > 0;
  out.push({
    title: "This page",
    known: true,
    up: app.connected,
    count: 1,
    rate: app.connected ? app.observed.perSecond(nowMs) : undefined,
    unit: "events/s seen",
    series: app.observed.history(nowMs),
    fact: !app.connected
      ? "not connected"
      : odd
        ? `${app.malformed} not readable`
        : `${(app.busy * 100).toFixed(0)} % busy`,
    bad: odd,
  });
  return out;
}

function createCard(): HTMLLIElement {
  const card = make("li", "station");
  const head = make("p", "station-head");
  head.append(make("span", "dot"), make("span", "station-title"), make("span", "station-count"));
  const rate = make("p", "station-rate");
  rate.append(make("span", "rate"), make("span", "unit"));
  const spark = svg("svg", { class: "spark", viewBox: "0 0 120 24", preserveAspectRatio: "none" });
  spark.setAttribute("aria-hidden", "true");
  spark.append(svg("path", { d: "" }));
  card.append(head, rate, spark, make("p", "station-fact"));
  return card;
}

function drawCard(element: HTMLElement, card: Card): void {
  const at = (selector: string): Element => element.querySelector(selector) ?? element;
  setAttribute(element, "data-station", card.title);
  setAttribute(element, "data-tone", !card.known ? "none" : !card.up ? "bad" : card.bad ? "warn" : "good");
  setText(at(".station-title"), card.title);
  setText(at(".station-count"), card.count > 1 ? `×${card.count}` : "");
  setText(at(".rate"), rateText(card.rate));
  setText(at(".unit"), card.unit);
  setText(at(".station-fact"), card.fact);
  setAttribute(at(".station-fact"), "data-bad", String(card.bad));
  setAttribute(at("path"), "d", card.up && card.known ? sparkline(card.series, 120, 24, 60) : "");
}

export function drawFlow(app: App, nowMs: number): void {
  const list = cards(app, nowMs);
  const elements = pool(byId("stations"), list.length, createCard);
  for (const [i, card] of list.entries()) {
    const element = elements[i];
    if (element !== undefined) {
      drawCard(element, card);
    }
  }
  const away = SERVICES.filter((service) => app.flow.up(service) === 0);
  const denied = [...app.denied].some((d) => d.includes("$SRV"));
  let text = app.flow.versions().map((v) => `version ${v}`).join(", ");
  if (denied) {
    text = "this user may not ask the services";
  } else if (app.connected && away.length > 0) {
    text = `away: ${away.map((s) => s.replace("meltica-", "")).join(", ")}`;
  }
  setText(byId("flow-text"), text);
}
