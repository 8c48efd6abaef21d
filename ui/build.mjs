// Bundles the page into ../qchat/ui/: `node build.mjs [--out DIR] [--watch]`.
import { build, context } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const out = args.includes("--out") ? resolve(args[args.indexOf("--out") + 1]) : resolve(here, "../qchat/ui");

const common = { loader: { ".svg": "dataurl" }, bundle: true, minify: true, target: "es2022", legalComments: "none", write: false, logLevel: "warning" };

// Names carry a hash of the content, so that the server may let browsers keep them for ever, and so that
// a tab of an earlier version never talks to a shared worker of a later one.
function hashed(name, extension, bytes) {
  return `${name}-${createHash("sha256").update(bytes).digest("hex").slice(0, 10)}.${extension}`;
}

/** The packages that ended up in a bundle: their licences have to go with them. */
const bundled = new Set();

async function bundle(entry, options = {}) {
  const result = await build({ ...common, ...options, metafile: true, entryPoints: [join(here, entry)], outdir: out });
  for (const input of Object.keys(result.metafile.inputs)) {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (name) bundled.add(name);
  }
  return result.outputFiles[0].contents;
}

async function licences() {
  const texts = [];
  for (const name of [...bundled].sort()) {
    const directory = join(here, "node_modules", name);
    const about = JSON.parse(await readFile(join(directory, "package.json"), "utf8"));
    const file = (await readdir(directory)).find((one) => /^licen[cs]e/i.test(one));
    const text = file ? await readFile(join(directory, file), "utf8") : `Licence: ${about.license}`;
    texts.push(`${name} ${about.version}\n\n${text.trim()}\n`);
  }
  return texts.join("\n" + "-".repeat(80) + "\n\n");
}

async function make() {
  const files = new Map();
  const worker = await bundle("src/hub/worker.ts", { format: "iife" });
  const workerName = hashed("hub", "js", worker);
  const languages = await bundle("src/markdown/languages.ts", { format: "esm" });
  const languagesName = hashed("languages", "js", languages);
  const define = { HUB_SCRIPT: JSON.stringify(`/ui/${workerName}`), LANGUAGES_SCRIPT: JSON.stringify(`/ui/${languagesName}`) };
  const script = await bundle("src/main.tsx", { format: "esm", define });
  const styles = await bundle("src/style/main.css");
  const icon = await readFile(join(here, "src/icon.svg"));
  const names = { script: hashed("page", "js", script), styles: hashed("page", "css", styles), icon: hashed("icon", "svg", icon) };
  const theme = await bundle("src/theme.ts", { format: "iife" });
  names.theme = hashed("theme", "js", theme);
  let page = await readFile(join(here, "src/index.html"), "utf8");
  for (const [key, name] of Object.entries(names)) page = page.replaceAll(`{${key}}`, `/ui/${name}`);
  files.set(workerName, worker).set(languagesName, languages).set(names.script, script).set(names.styles, styles).set(names.icon, icon);
  files.set(names.theme, theme).set("index.html", Buffer.from(page)).set("licences.txt", Buffer.from(await licences()));

  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  let total = 0;
  for (const [name, bytes] of files) {
    await writeFile(join(out, name), bytes);
    const packed = await promisify(gzip)(bytes, { level: 9 });
    await writeFile(join(out, `${name}.gz`), packed);
    await writeFile(join(out, `${name}.br`), await promisify(brotliCompress)(bytes));
    if (name !== "licences.txt") total += packed.length;
  }
  console.log(`The page is in ${out}: ${(total / 1024).toFixed(0)} KB compressed`);
}

await make();
if (args.includes("--watch")) {
  const watcher = await context({
    ...common,
    entryPoints: [join(here, "src/main.tsx")],
    outdir: out,
    define: { HUB_SCRIPT: '""', LANGUAGES_SCRIPT: '""' },
    plugins: [{ name: "again", setup: (building) => building.onEnd(() => make().catch(console.error)) }],
  });
  await watcher.watch();
}
