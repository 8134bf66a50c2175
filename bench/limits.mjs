// Compiles and runs limits.cpp.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Read bandwidth (GB/s) and arithmetic peaks (GMAC/s) of a number of threads; null without a C++ compiler. */
export function measureLimits(threads) {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-limits-"));
  try {
    const program = join(folder, "limits");
    const source = fileURLToPath(new URL("limits.cpp", import.meta.url));
    const flags = ["-std=c++17", "-O3", "-march=native", "-pthread", "-w"];
    const compiled = spawnSync(process.env.CXX ?? "c++", [...flags, source, "-o", program], {
      encoding: "utf8",
    });
    if (compiled.status !== 0) return null;
    const { stdout, status } = spawnSync(program, [String(threads)], { encoding: "utf8" });
    return status === 0 ? JSON.parse(stdout).at(-1) : null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
