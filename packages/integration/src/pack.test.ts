import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const repository = resolve(import.meta.dirname, "../../..");
const require = createRequire(import.meta.url);
const PROGRAMS = { "asr-cli": "transcribe", "tts-cli": "synthesize" } as const;
const LIBRARIES = ["quant-core", "nn", "audio", "text", "asr-model", "acoustic-model", "cli-core"];
const PUBLIC = [...LIBRARIES, ...Object.keys(PROGRAMS)];

const CONSUMER = `
import { loadTtsModel, type AudioChunk, type TtsModel } from "@voxquant/acoustic-model";
import { loadAsrModel, type Transcript } from "@voxquant/asr-model";
import { numberOf, type Session } from "@voxquant/cli-core";
import { openAudio } from "@voxquant/audio";
import { GGML_TYPES, openCheckpoint, quantizeRows, type Weight } from "@voxquant/quant-core";
import { ByteLevelBpe } from "@voxquant/text";
import { Qwen3Decoder } from "@voxquant/nn";

export async function demo(file: Blob): Promise<string> {
  const model = await loadAsrModel(file, { backend: "wasm" });
  const transcript: Transcript = await model.transcribe(file, { language: "English" });
  await model.dispose();
  const checkpoint = await openCheckpoint(file);
  const weight: Weight = await checkpoint.read("x");
  const bytes: Uint8Array = quantizeRows("Q8_0", new Float32Array(32), 32);
  return [transcript.text, weight.dtype, bytes.length, Object.keys(GGML_TYPES), openAudio, ByteLevelBpe, Qwen3Decoder].join();
}
export async function speak(file: Blob, play: (samples: Float32Array) => Promise<void>): Promise<number> {
  const model: TtsModel = await loadTtsModel(file, { backend: "wasm" });
  let last: AudioChunk | null = null;
  for await (const chunk of model.synthesize("Hello.", { seed: 1 })) {
    await play(chunk.samples);
    last = chunk;
  }
  await model.dispose();
  return last?.start ?? 0;
}
export const seedOf = (session: Session, flag: string): number | undefined =>
  session.signal.aborted ? undefined : numberOf(flag, "seed", { min: 0, integer: true });
// @ts-expect-error a number is no model
void loadAsrModel(5);
// @ts-expect-error a text is needed
void loadTtsModel("model.gguf").then((model) => model.synthesizeToBuffer());
`;

/** The public packages as tarballs, installed into an empty project as a user would. */
describe("packed packages in an empty project", () => {
  const project = mkdtempSync(join(tmpdir(), "voxquant-pack-"));
  const pnpm = join(repository, "node_modules/pnpm/bin/pnpm.cjs");
  const run = (command: string, ...args: string[]) =>
    execFileSync(process.execPath, [command, ...args], { cwd: project, encoding: "utf8", stdio: "pipe" });

  beforeAll(() => {
    const tarballs = join(project, "tarballs");
    mkdirSync(tarballs);
    for (const name of PUBLIC) {
      execFileSync(process.execPath, [pnpm, "pack", "--pack-destination", tarballs], {
        cwd: join(repository, "packages", name),
        stdio: "pipe",
      });
    }
    const packed = Object.fromEntries(
      PUBLIC.map((name) => {
        const file = readdirSync(tarballs).find((entry) => entry.startsWith(`voxquant-${name}-`))!;
        return [`@voxquant/${name}`, `file:tarballs/${file}`];
      }),
    );
    writeFileSync(
      join(project, "package.json"),
      JSON.stringify({
        name: "consumer",
        private: true,
        type: "module",
        dependencies: packed,
        pnpm: { overrides: packed },
      }),
    );
    writeFileSync(join(project, "pnpm-workspace.yaml"), "autoInstallPeers: false\n");
    run(pnpm, "install", "--prefer-offline", "--ignore-scripts");
  });
  afterAll(() => rmSync(project, { recursive: true, force: true }));

  it("hold no tests and no sources of tests", () => {
    for (const name of PUBLIC) {
      const files = readdirSync(join(project, "node_modules/@voxquant", name), { recursive: true }).map(
        String,
      );
      expect(files.filter((file) => /\.test\./.test(file) && !file.includes("node_modules"))).toEqual([]);
      expect(files).toContain("README.md");
    }
  });

  it("import in Node", () => {
    const script = LIBRARIES.map(
      (name) =>
        `if (Object.keys(await import("@voxquant/${name}")).length === 0) throw new Error("${name}");`,
    ).join("\n");
    writeFileSync(join(project, "imports.mjs"), `${script}\nconsole.log("imported");`);
    expect(run("imports.mjs")).toBe("imported\n");
  });

  it.each(Object.entries(PROGRAMS))("%s: find the command", (program, command) => {
    expect(run(`node_modules/@voxquant/${program}/bin/${program}.mjs`, "--help")).toContain(command);
  });

  it("type-check", () => {
    writeFileSync(join(project, "consumer.ts"), CONSUMER);
    const options = {
      strict: true,
      skipLibCheck: true,
      target: "ES2022",
      lib: ["ES2023", "DOM"],
      types: [],
      noEmit: true,
    };
    for (const [module, moduleResolution] of [
      ["NodeNext", "NodeNext"],
      ["ESNext", "Bundler"],
    ]) {
      const config = { compilerOptions: { ...options, module, moduleResolution }, files: ["consumer.ts"] };
      writeFileSync(join(project, "tsconfig.json"), JSON.stringify(config));
      run(require.resolve("typescript/bin/tsc"), "-p", "tsconfig.json");
    }
  });

  it("bundle for the browser with their WASM assets", () => {
    writeFileSync(join(project, "index.html"), '<script type="module" src="./page.js"></script>');
    writeFileSync(
      join(project, "page.js"),
      `import { loadTtsModel } from "@voxquant/acoustic-model";
import { loadAsrModel } from "@voxquant/asr-model";
Object.assign(globalThis, { loadAsrModel, loadTtsModel });
`,
    );
    const vite = join(resolve(require.resolve("vite/package.json"), ".."), "bin/vite.js");
    run(vite, "build", "--logLevel", "warn", "--target", "es2022");
    const assets = readdirSync(join(project, "dist/assets"));
    expect(assets.filter((file) => file.endsWith(".wasm")).length).toBeGreaterThanOrEqual(2);
    const code = assets
      .filter((file) => file.endsWith(".js"))
      .map((file) => readFileSync(join(project, "dist/assets", file), "utf8"));
    for (const wasm of assets.filter((file) => file.endsWith(".wasm"))) expect(code.join()).toContain(wasm);
  });
});
