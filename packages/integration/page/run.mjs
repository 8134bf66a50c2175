// Builds the page, serves it with a model and an audio file on the loopback interface, opens it in headless Chromium,
// clicks, and prints what the page shows as JSON: { status, result }.
//
//   node page/run.mjs CHROMIUM MODEL.gguf AUDIO.wav OUTPUT_FOLDER
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build } from "vite";

const [executablePath, model, audio, folder] = process.argv.slice(2);
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
  ".wav": "audio/wav",
};

await build({
  root: fileURLToPath(new URL(".", import.meta.url)),
  logLevel: "warn",
  build: { outDir: folder, emptyOutDir: true, target: "es2022", chunkSizeWarningLimit: 4096 },
});

const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
  const file =
    path === "/model.gguf"
      ? model
      : path === "/sample.wav"
        ? audio
        : join(folder, path === "/" ? "index.html" : path);
  let size;
  try {
    size = statSync(file).size;
  } catch {
    response.writeHead(404).end();
    return;
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const start = range === null ? 0 : Number(range[1]);
  const end = Math.min(range === null || range[2] === "" ? size - 1 : Number(range[2]), size - 1);
  const headers = {
    "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    "content-length": end - start + 1,
    "accept-ranges": "bytes",
  };
  if (range !== null) headers["content-range"] = `bytes ${start}-${end}/${size}`;
  response.writeHead(range === null ? 200 : 206, headers);
  createReadStream(file, { start, end }).pipe(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  const page = await browser.newPage();
  page.on("console", (message) => process.stderr.write(`console ${message.type()}: ${message.text()}\n`));
  page.on("pageerror", (error) => process.stderr.write(`page error: ${error.message}\n`));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.click("#run");
  await page.waitForFunction(() => /done|failed/.test(document.getElementById("status").textContent), null, {
    timeout: 120_000,
  });
  const shown = await page.evaluate(() => ({
    status: document.getElementById("status").textContent,
    result: document.getElementById("result").textContent,
  }));
  process.stdout.write(JSON.stringify(shown));
} finally {
  await browser.close();
  server.close();
}
