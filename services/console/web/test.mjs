// Bundles the tests of a folder for node's own test runner: node test.mjs test|e2e.
import { readdirSync, rmSync } from "node:fs";
import * as esbuild from "esbuild";

const folder = process.argv[2] ?? "test";
const outdir = `node_modules/.console-test/${folder}`;
rmSync(outdir, { recursive: true, force: true });
await esbuild.build({
  entryPoints: readdirSync(folder)
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `${folder}/${name}`),
  outdir,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: folder === "e2e" ? "external" : "bundle",
  sourcemap: "inline",
  logLevel: "warning",
});
