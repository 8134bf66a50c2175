// Builds the page, serves it cross-origin isolated with a model and an audio file on the loopback interface, opens it in
// headless Chromium, and prints what it shows and how many workers it has as JSON: { status, result, workers }.
//
//   node threads-page/run.mjs CHROMIUM MODEL.gguf AUDIO.wav OUTPUT_FOLDER
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build, preview } from "vite";

const [executablePath, model, audio, folder] = process.argv.slice(2);
const config = {
  root: fileURLToPath(new URL(".", import.meta.url)),
  logLevel: "warn",
  appType: "mpa", // a file that is not there is not answered with the page
  build: { outDir: folder, emptyOutDir: true, target: "es2022", chunkSizeWarningLimit: 4096 },
  preview: {
    host: "127.0.0.1",
    port: 0,
    headers: {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
};
await build(config);
copyFileSync(model, join(folder, "model.gguf"));
copyFileSync(audio, join(folder, "sample.wav"));
const server = await preview(config);

const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
  ],
});
try {
  const page = await browser.newPage();
  page.on("console", (message) => process.stderr.write(`console ${message.type()}: ${message.text()}\n`));
  page.on("pageerror", (error) => process.stderr.write(`page error: ${error.message}\n`));
  await page.goto(`http://127.0.0.1:${server.httpServer.address().port}/`);
  await page.waitForFunction(() => /done|failed/.test(document.getElementById("status").textContent), null, {
    timeout: 120_000,
  });
  const shown = await page.evaluate(() => ({
    status: document.getElementById("status").textContent,
    result: document.getElementById("result").textContent,
  }));
  process.stdout.write(JSON.stringify({ ...shown, workers: page.workers().length }));
} finally {
  await browser.close();
  await server.close();
}
