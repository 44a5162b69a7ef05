// Builds the page into src/webinfer/_web, from where the host serves it and the wheel carries it.

import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const output = process.argv[2] ?? join(here, "..", "src", "webinfer", "_web");
const runtime = join(here, "node_modules", "onnxruntime-web", "dist");

// Each bundle holds its loader, finds its .wasm beside itself, and imports itself again as its threads' worker.
const RUNTIME = [
  "ort.jspi.bundle.min.mjs",
  "ort-wasm-simd-threaded.jspi.wasm",
  "ort.webgpu.bundle.min.mjs",
  "ort-wasm-simd-threaded.asyncify.wasm",
  "ort.wasm.bundle.min.mjs",
  "ort-wasm-simd-threaded.wasm",
];

// The page's policy allows its one style sheet by its hash, in place of every inline style.
async function renderIndex() {
  const html = await readFile(join(here, "src", "page", "index.html"), "utf8");
  const style = /<style>([\s\S]*?)<\/style>/.exec(html)?.[1];
  if (style === undefined || !html.includes("{{style-hash}}"))
    throw new Error("src/page/index.html lacks its style or its policy");
  return html.replace("{{style-hash}}", `sha256-${createHash("sha256").update(style).digest("base64")}`);
}

await rm(output, { recursive: true, force: true });
await mkdir(join(output, "runtime"), { recursive: true });
await build({
  entryPoints: { page: join(here, "src", "page", "page.ts"), lane: join(here, "src", "lane", "lane.ts") },
  outdir: join(output, "assets"),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  sourcemap: false,
  legalComments: "none",
  logLevel: "warning",
});
await build({
  entryPoints: [join(here, "src", "report", "report.ts")],
  outdir: join(output, "report"),
  bundle: true,
  format: "iife",
  target: "es2022",
  minify: true,
  legalComments: "none",
  logLevel: "warning",
});
await copyFile(join(here, "src", "report", "report.html"), join(output, "report", "report.html"));
await Promise.all(RUNTIME.map((file) => copyFile(join(runtime, file), join(output, "runtime", file))));
await writeFile(join(output, "index.html"), await renderIndex()); // last: its presence means a whole page
