import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCli, type CliOptions, type CliResult } from "../testing/cli.js";
import { FakeHub } from "../testing/fake-hub.js";

const files = { "config.json": Buffer.from("{}"), "model.safetensors": randomBytes(400_000) };

let folder: string;
let hub: FakeHub;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-download-"));
  hub = await new FakeHub("Qwen/Qwen3-ASR-0.6B", files).start();
});

afterEach(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

function download(args: readonly string[] = [], options: CliOptions = {}): Promise<CliResult> {
  const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: folder, ...options.env };
  return runCli(["models", "download", "qwen3-asr-0.6b", ...args], { ...options, env });
}

test("download prints the folder, and uses what is there offline", async () => {
  const { code, stdout, stderr } = await download();
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(/2 files, 400 kB, of them 400 kB/) as string,
  });
  const snapshot = join(folder, "hub", "models--Qwen--Qwen3-ASR-0.6B", "snapshots", hub.commit);
  expect(stdout).toBe(`${snapshot}\n`);
  expect(readFileSync(join(snapshot, "model.safetensors"))).toEqual(files["model.safetensors"]);
  hub.requests.length = 0;
  const offline = await download(["--quiet"], { env: { HF_HUB_OFFLINE: "1" } });
  expect(offline).toEqual({ code: 0, stdout: `${snapshot}\n`, stderr: "" });
  expect(hub.requests).toEqual([]);
});

test("offline without a copy is an error", async () => {
  const { code, stdout, stderr } = await download([], { env: { HF_HUB_OFFLINE: "1" } });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/HF_HUB_OFFLINE is set, and Qwen\/Qwen3-ASR-0\.6B at main is not in/);
});

test("Ctrl-C ends with 130; the next run goes on from there; a stall is noticed on the way", async () => {
  hub.faults.push({ path: "model.safetensors", kind: "stall", after: 100_000 });
  const env = { HF_HUB_DOWNLOAD_TIMEOUT: "0.6" };
  const interrupted = await download([], { env, interruptAfter: /no data for 0\.6 s/ });
  expect(interrupted).toMatchObject({ code: 130, stdout: "" });
  expect(existsSync(join(folder, "hub", "models--Qwen--Qwen3-ASR-0.6B", "refs"))).toBe(false);
  expect((await download()).code).toBe(0);
  expect(hub.requests.filter(({ host }) => host === "storage").at(-1)!.range).toMatch(/^bytes=[1-9]/);
});

test("a gated model says what to do; with a token it works, and no one else sees the token", async () => {
  hub.token = "hf_secret";
  const refused = await download();
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/no access .*HF_TOKEN/);
  expect((await download([], { env: { HF_TOKEN: "hf_secret" } })).code).toBe(0);
  const seen = hub.requests.filter(({ authorization }) => authorization === "Bearer hf_secret");
  expect(new Set(seen.map(({ host }) => host))).toEqual(new Set(["hub"]));
});

test("no server is an error that names it", async () => {
  const { endpoint } = hub;
  await hub.stop();
  hub = await new FakeHub("x/y", files).start();
  const { code, stderr } = await download(["--output", join(folder, "out")], {
    env: { HF_ENDPOINT: endpoint },
    interruptAfter: /trying again/,
  });
  expect(code).toBe(130);
  expect(stderr).toMatch(new RegExp(`no connection to ${endpoint}: connect ECONNREFUSED`));
});
