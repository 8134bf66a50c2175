import { spawn } from "node:child_process";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Our own programs (turbo needs pnpm in PATH), and no telemetry or update notices of any tool. */
export function toolEnvironment() {
  return {
    ...process.env,
    PATH: `${join(root, "node_modules", ".bin")}${delimiter}${process.env.PATH ?? ""}`,
    TURBO_TELEMETRY_DISABLED: "1",
    TURBO_NO_UPDATE_NOTIFIER: "1",
    DO_NOT_TRACK: "1",
    NO_UPDATE_NOTIFIER: "1",
  };
}

/** Runs a program of node_modules by its JavaScript entry. Its output is returned, and printed too with `show`. */
export function runTool(entry, args, { show = false, env = toolEnvironment() } = {}) {
  return run(process.execPath, [join(root, "node_modules", entry), ...args], { show, env });
}

export function run(command, args, { show = false, env = process.env, shell = false } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, env, shell, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let stdout = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => {
        output += text;
        if (stream === child.stdout) stdout += text;
        if (show) process.stderr.write(text);
      });
    }
    child.on("error", (error) => done({ ok: false, output: `${output}${error.message}\n`, stdout }));
    child.on("close", (code) => done({ ok: code === 0, output, stdout }));
  });
}

/** Says what is going on, on one line; `done` adds how it went. */
export function step(title) {
  const started = performance.now();
  process.stderr.write(`${title} ... `);
  return (result = "done") =>
    process.stderr.write(`${result} (${((performance.now() - started) / 1000).toFixed(1)} s)\n`);
}
