// Connection, theme, lock, keys and sign-in.
import type { App } from "../app";
import { byId, setAttribute, setText } from "../dom";

const WORDS = {
  connecting: ["Connecting", "warn"],
  connected: ["Connected", "good"],
  lost: ["Not connected", "bad"],
  signin: ["Signed out", "warn"],
} as const;

const THEMES = ["system", "light", "dark"] as const;

export function recall(key: string): string {
  try {
    return localStorage.getItem(`meltica.${key}`) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

export function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`meltica.${key}`, value);
  } catch {
    // then it is as new the next time
  }
}

function applyTheme(theme: string): void {
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset["theme"] = theme;
  } else {
    delete document.documentElement.dataset["theme"];
  }
  setText(byId("theme-word"), theme);
}

export function nextTheme(): void {
  const now = document.documentElement.dataset["theme"] ?? "system";
  const next = THEMES[(THEMES.findIndex((t) => t === now) + 1) % THEMES.length] ?? "system";
  keep("theme", next);
  applyTheme(next);
}

/** Opens the form and hands on what was typed. */
export function openSignin(app: App, text: string): void {
  const dialog = byId<HTMLDialogElement>("signin");
  if (text !== "") {
    setText(byId("signin-text"), text);
  }
  byId<HTMLFormElement>("signin-form").onsubmit = () => {
    const password = byId<HTMLInputElement>("signin-password");
    app.signin({ user: byId<HTMLInputElement>("signin-user").value, password: password.value });
    password.value = "";
  };
  if (!dialog.open) {
    dialog.showModal();
  }
}

export function setUpHead(app: App): void {
  applyTheme(recall("theme") || "system");
  byId("theme").addEventListener("click", nextTheme);
  byId("help").addEventListener("click", () => {
    byId<HTMLDialogElement>("keys").showModal();
  });
  const label = byId("label");
  label.hidden = app.config.label === "";
  setText(label, app.config.label);
  if (app.config.label !== "") {
    document.title = `${app.config.label} · Meltica`;
  }
  const lock = byId<HTMLButtonElement>("lock");
  lock.hidden = !app.config.control;
  lock.addEventListener("click", () => {
    app.unlocked = !app.unlocked;
    setAttribute(lock, "aria-pressed", String(app.unlocked));
    setText(lock, app.unlocked ? "Changes allowed" : "Allow changes");
    app.changed("subs");
  });
}

export function drawHead(app: App): void {
  const [word, tone] = WORDS[app.state];
  setText(byId("connection-word"), word);
  setAttribute(byId("connection"), "data-tone", tone);
  const who = app.net.principal === undefined ? "" : ` as ${app.net.principal}`;
  setText(byId("connection-text"), app.connected ? `${app.stateText}${who}` : app.stateText);
  setAttribute(document.body, "data-connected", String(app.connected));
}
