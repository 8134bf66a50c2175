import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeHub } from "../testing/fake-hub.js";
import { runProcess, type CliOptions, type CliResult } from "../testing/process.js";

const files = { "config.json": Buffer.from("{}"), "model.safetensors": randomBytes(400_000) };

/** A program with this command alone. */
const PROGRAM = `
import { modelsCommand, runAndExit } from ${JSON.stringify(new URL("../../dist/index.js", import.meta.url).href)};
const catalogue = { program: "a-cli", repositories: { small: "Someone/small-model" }, defaultModel: /small/ };
const support = { catalogue, purpose: "run", ggufPart: "part", check: null, isReady: null };
await runAndExit(
  { name: "a-cli", description: "A program.", version: "1.2.3", commands: (session) => [modelsCommand(session, support)] },
  process.argv.slice(2),
);`;

let folder: string;
let hub: FakeHub;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-download-"));
  writeFileSync(join(folder, "program.mjs"), PROGRAM);
  hub = await new FakeHub("Someone/small-model", files).start();
});

afterEach(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

function run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return runProcess(join(folder, "program.mjs"), args, options);
}

function download(args: readonly string[] = [], options: CliOptions = {}): Promise<CliResult> {
  const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: folder, ...options.env };
  return run(["models", "download", "small", ...args], { ...options, env });
}

test("a wrong command line: exit code 2, and where the help is", async () => {
  expect(await run(["models", "fetch"])).toMatchObject({
    code: 2,
    stdout: "",
    stderr: expect.stringMatching(/Unknown (argument|command): fetch\nsee: a-cli models --help\n$/) as string,
  });
  expect(await run([])).toMatchObject({
    code: 2,
    stderr: "error: what should be done? Choose one of: models\nsee: a-cli --help\n",
  });
  expect(await run(["--version"])).toMatchObject({ code: 0, stdout: "1.2.3\n" });
  expect((await run(["models", "download", "other"])).stderr).toMatch(/Choose one of small, or give/);
});

test("download prints the folder, and uses what is there offline", async () => {
  const { code, stdout, stderr } = await download();
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(/2 files, 400 kB, of them 400 kB/) as string,
  });
  const snapshot = join(folder, "hub", "models--Someone--small-model", "snapshots", hub.commit);
  expect(stdout).toBe(`${snapshot}\n`);
  expect(readFileSync(join(snapshot, "model.safetensors"))).toEqual(files["model.safetensors"]);
  hub.requests.length = 0;
  const offline = await download(["--quiet"], { env: { HF_HUB_OFFLINE: "1" } });
  expect(offline).toMatchObject({ code: 0, stdout: `${snapshot}\n`, stderr: "" });
  expect(hub.requests).toEqual([]);
});

test("offline without a copy is an error", async () => {
  const { code, stdout, stderr } = await download([], { env: { HF_HUB_OFFLINE: "1" } });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/HF_HUB_OFFLINE is set, and Someone\/small-model at main is not in/);
});

test("Ctrl-C ends with 130; the next run goes on from there; a stall is noticed on the way", async () => {
  hub.faults.push({ path: "model.safetensors", kind: "stall", after: 100_000 });
  const env = { HF_HUB_DOWNLOAD_TIMEOUT: "0.6" };
  const interrupted = await download([], { env, interruptAfter: /no data for 0\.6 s/ });
  expect(interrupted).toMatchObject({ code: 130, stdout: "" });
  expect(existsSync(join(folder, "hub", "models--Someone--small-model", "refs"))).toBe(false);
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
