import { availableParallelism } from "node:os";

/** The instruction set and thread count that a backend works with. */
export interface Engine {
  readonly isa: string;
  readonly threads: number;
}

/** Parts of quant-core that are no business of programs, but of measurements. */
interface Internals {
  readonly "backends/native/addon.js": {
    loadAddon(): { isa(): string; threads(): number } | null;
  };
  readonly "backends/wasm/module.js": { hasRelaxedSimd(): boolean };
}

function internals<Path extends keyof Internals>(path: Path): Promise<Internals[Path]> {
  return import(new URL(path, import.meta.resolve("@voxquant/quant-core")).href) as Promise<Internals[Path]>;
}

export async function describeEngine(backend: string): Promise<Engine> {
  if (backend === "native") {
    const { loadAddon } = await internals("backends/native/addon.js");
    const addon = loadAddon()!;
    return { isa: addon.isa(), threads: addon.threads() };
  }
  if (backend === "wasm") {
    const { hasRelaxedSimd } = await internals("backends/wasm/module.js");
    return { isa: hasRelaxedSimd() ? "relaxed-simd" : "simd128", threads: 1 };
  }
  if (backend === "tensorflow") return { isa: "libtensorflow", threads: availableParallelism() };
  return { isa: "javascript", threads: 1 };
}
