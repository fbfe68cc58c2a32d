// Where the time goes: one histogram a stage.
import { type App, type Stage, STAGES } from "../app";
import { byId, make, setAttribute, setText, svg } from "../dom";
import { COLUMNS, duration, type Summary } from "../histogram";

const NAMES: Record<Stage, [string, string]> = {
  exchange: ["Exchange", "from the exchange's own event time to the last byte received; its clock"],
  adapt: ["Adapter", "from the last byte received to the hop"],
  dispatch: ["Dispatcher", "the hop and the Dispatcher"],
  conduct: ["Conductor", "the hop and the Conductor, without the throttle of BOOK"],
  publish: ["Data Bus", "the hop and the Data Bus"],
  total: ["In Meltica", "from the last byte received to published, without the throttle"],
  page: ["To this page", "from published to here; this machine's clock"],
};

const BAR = 4;
const HEIGHT = 30;

/** Figures, and under them the picture, which says nothing that they do not. */
function createStage(): HTMLTableSectionElement {
  const body = make("tbody", "stage");
  const row = make("tr");
  const name = make("th", "stage-name");
  name.scope = "row";
  const chart = svg("svg", { class: "bars", viewBox: `0 0 ${COLUMNS * BAR} ${HEIGHT}`, preserveAspectRatio: "none" });
  chart.setAttribute("aria-hidden", "true");
  chart.append(svg("path", { d: "" }));
  row.append(name, make("td"), make("td"), make("td"));
  const below = make("tr");
  const cell = make("td");
  cell.colSpan = 4;
  cell.append(chart);
  below.append(cell);
  below.setAttribute("aria-hidden", "true");
  body.append(row, below);
  return body;
}

/** Heights by the root of the count, so that a thin tail is seen beside a high peak. */
function bars(columns: number[]): string {
  const most = Math.max(...columns);
  if (most === 0) {
    return "";
  }
  return columns
    .map((n, i) => {
      const height = n === 0 ? 0 : Math.max(1, Math.sqrt(n / most) * HEIGHT);
      return height === 0 ? "" : `M${i * BAR} ${HEIGHT}v${(-height).toFixed(1)}h${BAR - 0.8}V${HEIGHT}Z`;
    })
    .join("");
}

function drawStage(body: Element, stage: Stage, summary: Summary): void {
  const [name, title] = NAMES[stage];
  const row = body.firstElementChild ?? body;
  setAttribute(body, "title", title);
  setAttribute(body, "data-stage", stage);
  setText(row.firstElementChild ?? row, name);
  setAttribute(body.querySelector("path") ?? body, "d", bars(summary.columns));
  for (const [i, ns] of [summary.p50, summary.p95, summary.p99].entries()) {
    const cell = row.children[i + 1];
    if (cell !== undefined) {
      setText(cell, summary.count === 0 ? "–" : duration(ns));
    }
  }
}

export function drawLatency(app: App, nowMs: number): void {
  const table = byId<HTMLTableElement>("stages");
  while (table.tBodies.length < STAGES.length) {
    table.append(createStage());
  }
  let negative = 0;
  for (const [i, stage] of STAGES.entries()) {
    const body = table.tBodies[i];
    const summary = app.latency.get(stage)?.summary(nowMs);
    if (body !== undefined && summary !== undefined) {
      drawStage(body, stage, summary);
      negative += summary.negative;
    }
  }
  setText(
    byId("latency-text"),
    negative === 0 ? "" : `${negative} came out below zero and are shown as the least.`,
  );
}
