// Who asked the Control Bus for what, and what came of it: newest first.
import type { App } from "../app";
import { byId, make, pool, setAttribute, setText } from "../dom";

const TONES: Record<string, string> = { CONFIRMED: "good", PENDING: "warn", FAILED: "bad", REJECTED: "bad", EXPIRED: "none" };

function createRecord(): HTMLLIElement {
  const item = make("li", "record");
  const head = make("p", "record-head");
  head.append(make("time"), make("span", "outcome-word"), make("span", "verb"), make("span", "who"));
  item.append(head, make("p", "record-what"));
  return item;
}

export function drawAudit(app: App): void {
  const list = app.audit.list();
  const items = pool(byId("records"), list.length, createRecord);
  for (const [i, { record }] of list.entries()) {
    const item = items[i];
    const parts = item?.firstElementChild?.children;
    if (item === undefined || parts === undefined) {
      continue;
    }
    const when = new Date(record.timeMs).toISOString();
    const texts = [when.slice(11, 19), record.outcome.toLowerCase(), record.verb, record.who];
    for (const [p, text] of texts.entries()) {
      const part = parts[p];
      if (part !== undefined) {
        setText(part, text);
      }
    }
    setAttribute(parts[0] ?? item, "datetime", when);
    setAttribute(item, "title", when);
    setAttribute(item, "data-tone", TONES[record.outcome] ?? "none");
    setText(item.lastElementChild ?? item, [record.what, record.message].filter((t) => t !== "").join(": "));
  }
  setText(byId("audit-text"), app.auditText !== "" ? app.auditText : list.length === 0 ? "nothing was asked for yet" : "newest first, UTC");
}
