// Builds the page's files into rnngraph/explore/page/: `npm ci && npm run build`, in this folder.

import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { build } from "esbuild";

const out = "../../rnngraph/explore/page";
mkdirSync(out, { recursive: true });
const made = await build({
  entryPoints: ["src/main.ts", "src/style.css"], outdir: out, bundle: true, minify: true, target: "es2022", charset: "utf8",
  format: "iife", legalComments: "none", metafile: true, entryNames: "[name]", logLevel: "warning",
});
copyFileSync("node_modules/elkjs/lib/elk-worker.min.js", join(out, "layout.js"));

// The licences of all that is in there.
const packages = new Set(["elkjs"]);
for (const input of Object.keys(made.metafile.inputs)) {
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input);
  if (found) packages.add(found[1]);
}
const texts = [...packages].sort().map((name) => {
  const folder = join("node_modules", name), about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((f) => /^licen[cs]e/i.test(f));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : `License: ${about.license}`;
  const home = (about.repository?.url ?? about.repository ?? "").replace(/^git\+/, "");
  return `${name} ${about.version} (${about.license})\nIts source: ${home}\n\n${text}\n`;
});
writeFileSync(join(out, "LICENSES.txt"), texts.join(`\n${"-".repeat(78)}\n\n`));

// What all of it was built from; `tests/explore/test_built.py` compares it with the files that are there.
const sources = ["package.json", "package-lock.json", "build.mjs", "tsconfig.json", ...readdirSync("src", { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile()).map((entry) => relative(".", join(entry.parentPath, entry.name)).split(sep).join("/"))].sort();
const digest = createHash("sha256");
for (const name of sources) digest.update(`${name}\0`).update(readFileSync(name)).update("\0");
writeFileSync(join(out, "sources.sha256"), `${digest.digest("hex")}\n`);
