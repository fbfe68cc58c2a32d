// Builds the page into a folder: node build.mjs FOLDER. Names carry a hash of what is in them, so
// that the service can have them kept for ever; index.html alone names them. Beside it FOLDER.packages
// says whose code is in the page: name, version, licence, a line each.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as esbuild from "esbuild";

const out = process.argv[2];
if (out === undefined) {
  console.error("usage: node build.mjs FOLDER");
  process.exit(2);
}
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const result = await esbuild.build({
  entryPoints: { main: "src/main.ts" },
  outdir: out,
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome110", "firefox115", "safari16.4"],
  platform: "browser",
  loader: { ".woff2": "file" },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

let page = readFileSync("src/index.html", "utf8");
for (const [file, about] of Object.entries(result.metafile.outputs)) {
  const name = basename(file);
  if (about.entryPoint !== undefined) {
    page = page.replace("main.js", name);
  } else if (name.endsWith(".css")) {
    page = page.replace("main.css", name);
  }
}
const icon = readFileSync("src/icon.svg");
const hash = createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase();
writeFileSync(join(out, `icon-${hash}.svg`), icon);
page = page.replace("icon.svg", `icon-${hash}.svg`);
writeFileSync(join(out, "index.html"), page);
if (/(main\.js|main\.css|"icon\.svg)/.test(page)) {
  console.error("build: a name in index.html was not replaced");
  process.exit(1);
}

const packages = new Set();
for (const input of Object.keys(result.metafile.inputs)) {
  const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (found !== null) {
    const { name, version, license } = JSON.parse(readFileSync(`node_modules/${found[1]}/package.json`, "utf8"));
    packages.add(`${name}\t${version}\t${license}\n`);
  }
}
writeFileSync(`${out}.packages`, [...packages].sort().join(""));

const total = Object.values(result.metafile.outputs).reduce((sum, o) => sum + o.bytes, 0);
console.log(`page built in ${out}: ${(total / 1024).toFixed(0)} KiB`);
