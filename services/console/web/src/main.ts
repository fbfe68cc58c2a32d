import "./styles.css";
import { App, type Config } from "./app";
import { byId, Frames, setText } from "./dom";
import { drawAudit } from "./panels/audit";
import { drawBook } from "./panels/book";
import { drawFlow } from "./panels/flow";
import { drawHead, nextTheme, openSignin, recall, setUpHead } from "./panels/head";
import { drawInstruments, setUpInstruments, step } from "./panels/instruments";
import { drawLatency } from "./panels/latency";
import { drawSubscriptions, setUpSubscriptions } from "./panels/subscriptions";

const SECTIONS = ["flow", "instruments", "book", "latency", "subscriptions", "audit"];

function setUpKeys(app: App): void {
  document.addEventListener("keydown", (event) => {
    const target = event.target as Element;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input,select,textarea,dialog")) {
      return;
    }
    const section = SECTIONS[Number(event.key) - 1];
    if (section !== undefined) {
      byId(section).scrollIntoView({ block: "start" });
      byId(section).focus({ preventScroll: true });
    } else if (event.key === "/") {
      event.preventDefault();
      byId("filter").focus();
    } else if (event.key === "j" || event.key === "k") {
      step(app, event.key === "j" ? 1 : -1);
    } else if (event.key === "t") {
      nextTheme();
    } else if (event.key === "?") {
      byId<HTMLDialogElement>("keys").showModal();
    }
  });
}

async function main(): Promise<void> {
  const answer = await fetch("config.json", { cache: "no-store" });
  if (!answer.ok) {
    throw new Error(`config.json: ${answer.status}`);
  }
  const config = (await answer.json()) as Config;
  const frames = new Frames();
  const app: App = new App(config, frames, (text) => {
    openSignin(app, text);
  });
  setUpHead(app);
  setUpInstruments(app);
  setUpSubscriptions(app);
  setUpKeys(app);
  frames.add("head", 0, () => {
    drawHead(app);
  });
  frames.add("book", 50, (now) => {
    drawBook(app, now);
  });
  frames.add("flow", 500, (now) => {
    drawFlow(app, now);
  });
  frames.add("list", 250, (now) => {
    drawInstruments(app, now);
  });
  frames.add("latency", 1_000, (now) => {
    drawLatency(app, now);
  });
  frames.add("subs", 100, () => {
    drawSubscriptions(app);
  });
  frames.add("audit", 100, () => {
    drawAudit(app);
  });
  const last = recall("instrument");
  if (last !== "") {
    app.select(last);
  }
  app.start();
}

main().catch((error: unknown) => {
  setText(byId("connection-word"), "Not started");
  setText(byId("connection-text"), `${error instanceof Error ? error.message : "error"}: load the page again`);
});
