import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { Terminal, UsageError } from "@voxquant/cli-core";
import { runCommand } from "../main.js";
import { repository, runCli } from "../testing/cli.js";
import { spectrogramPng } from "./picture.js";

const folder = mkdtempSync(join(tmpdir(), "voxquant-validate-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const MINI = join(repository, "models", "qwen3-tts-mini");

interface Side {
  weight_types: string;
  file_bytes: number;
  talker_ms_per_frame: number;
  peak_rss_bytes: number;
}

test("a float model against its Q8_0: codes, sound, cost, and a page of its own", async () => {
  if (!existsSync(MINI)) return;
  const html = join(folder, "report.html");
  const args = [
    "validate",
    "--model",
    MINI,
    "--against",
    "q8_0",
    "--text",
    "Volume up.",
    "--temperature",
    "0",
  ];
  const { code, stdout, stderr } = await runCli([...args, "--cache", folder, "--html", html, "--json"]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  const { reference, candidate, report } = JSON.parse(stdout) as {
    reference: Side;
    candidate: Side;
    report: {
      forcedAgreement: { byCodebook: number[]; all: number };
      codec: Record<string, number>;
      lengthRatio: number;
    };
  };
  expect(reference.weight_types).toMatch(/^BF16/);
  expect(candidate.weight_types).toMatch(/^Q8_0/);
  expect(candidate.file_bytes).toBeLessThan(reference.file_bytes);
  for (const { talker_ms_per_frame, peak_rss_bytes } of [reference, candidate]) {
    expect(talker_ms_per_frame).toBeGreaterThan(0);
    expect(peak_rss_bytes).toBeGreaterThan(1e7);
  }
  expect(report.forcedAgreement.all).toBeGreaterThan(0.9);
  expect(report.codec["snr"]).toBeGreaterThan(25);
  expect(report.codec["stoi"] === null || report.codec["stoi"]! > 0.99).toBe(true);

  const page = readFileSync(html, "utf8");
  expect(page.match(/<img /g)).toHaveLength(3);
  expect(page.match(/src="data:audio\/wav;base64,UklGR/g)).toHaveLength(3);
  expect(page).not.toMatch(/src="(?!data:)|<script|href=/);
});

test("a spectrogram is a picture with the sound's frequencies in their place", () => {
  const rate = 24000;
  const high = Float32Array.from({ length: rate }, (_, n) => 0.5 * Math.sin((2 * Math.PI * 9000 * n) / rate));
  const png = Buffer.from(spectrogramPng(high, rate));
  expect(png.toString("latin1", 1, 4)).toBe("PNG");
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const at = png.indexOf("IDAT");
  const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
  expect(rows).toHaveLength(height * (width + 1));
  const column = Array.from({ length: height }, (_, y) => rows[y * (width + 1) + 10]!);
  const brightest = column.indexOf(Math.max(...column));
  expect(1 - brightest / height).toBeCloseTo(9000 / (rate / 2), 1); // three quarters up
});

const wrong: [string[], RegExp][] = [
  [["--model", MINI], /--against is missing/],
  [["--model", MINI, "--against", "q8_0", "--backend", "cuda"], /"cuda" is not known/],
  [["--model", MINI, "--against", "q8_0", "--precision", "low"], /precision/],
  [["--model", MINI, "--against", "q8_0", "--seed", "-1"], /seed/],
];

test.each(wrong)("tts-cli validate %j is no command line", async (args, message) => {
  const silent = { write: () => undefined };
  const session = { terminal: new Terminal(silent, silent), signal: new AbortController().signal, env: {} };
  const error: unknown = await runCommand(["validate", ...args], session).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UsageError);
  expect((error as Error).message).toMatch(message);
});
