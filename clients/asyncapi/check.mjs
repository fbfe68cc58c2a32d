// Parses docs/asyncapi.yaml with AsyncAPI's own parser, and prints what it says as JSON: the diagnostics that are errors, the control
// subjects and the protobuf messages that it names. node check.mjs FILE

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { Parser } from "@asyncapi/parser";

const file = resolve(process.argv[2]);
const { document, diagnostics } = await new Parser().parse(await readFile(file, "utf8"), { source: file });
const errors = diagnostics
  .filter((d) => d.severity === 0)
  .map((d) => `${d.path.join(".")}: ${d.message}`);
console.log(
  JSON.stringify({
    errors,
    addresses: document?.channels().all().map((c) => c.address()) ?? [],
    operations: document?.operations().all().map((o) => ({ id: o.id(), action: o.action() })) ?? [],
    protobuf: document?.allMessages().all().map((m) => m.json()["x-protobuf-message"]).filter(Boolean) ?? [],
    payloads: document?.allMessages().all().filter((m) => m.hasPayload()).map((m) => [m.title(), m.payload().type() ?? null]) ?? [],
  }),
);
process.exitCode = errors.length > 0 || document === undefined ? 1 : 0;
