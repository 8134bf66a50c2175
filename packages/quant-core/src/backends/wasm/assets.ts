import { BackendError } from "../../errors.js";
import { nodeBuiltin } from "../../platform.js";

/** The binaries in this package's `wasm/` folder. */
export type WasmAsset =
  | "voxquant-simd.wasm"
  | "voxquant-simd-shared.wasm"
  | "voxquant-relaxed-simd.wasm"
  | "voxquant-relaxed-simd-shared.wasm"
  | "tfjs-backend-wasm-simd.wasm"
  | "tfjs-backend-wasm-simd-shared.wasm";

let folder: URL | null = null;

/**
 * Where the WASM binaries are served, for pages whose bundler does not copy them: the URL of the folder that has the
 * files of this package's `wasm/`. Set it before the first use of the WASM backend.
 */
export function setWasmAssetPath(url: string | URL): void {
  const base = typeof location === "undefined" ? undefined : location.href;
  const text = String(url);
  folder = new URL(text.endsWith("/") ? text : `${text}/`, base);
}

/** The literal `new URL(…, import.meta.url)` is what bundlers recognise as an asset to copy. */
export function assetUrl(name: WasmAsset): URL {
  if (folder !== null) return new URL(name, folder);
  switch (name) {
    case "voxquant-simd.wasm":
      return new URL("../../../wasm/voxquant-simd.wasm", import.meta.url);
    case "voxquant-simd-shared.wasm":
      return new URL("../../../wasm/voxquant-simd-shared.wasm", import.meta.url);
    case "voxquant-relaxed-simd.wasm":
      return new URL("../../../wasm/voxquant-relaxed-simd.wasm", import.meta.url);
    case "voxquant-relaxed-simd-shared.wasm":
      return new URL("../../../wasm/voxquant-relaxed-simd-shared.wasm", import.meta.url);
    case "tfjs-backend-wasm-simd.wasm":
      return new URL("../../../wasm/tfjs-backend-wasm-simd.wasm", import.meta.url);
    case "tfjs-backend-wasm-simd-shared.wasm":
      return new URL("../../../wasm/tfjs-backend-wasm-simd-shared.wasm", import.meta.url);
  }
}

/** @throws BackendError if the file cannot be had */
export async function loadAsset(name: WasmAsset): Promise<Uint8Array<ArrayBuffer>> {
  const url = assetUrl(name);
  try {
    if (url.protocol === "file:") {
      const path = nodeBuiltin("node:url").fileURLToPath(url);
      return new Uint8Array(await nodeBuiltin("node:fs/promises").readFile(path));
    }
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new BackendError(
      `the WASM backend needs ${url.href}, which cannot be loaded (${(error as Error).message}); ` +
        "build the package, or name the folder of its wasm files with setWasmAssetPath",
      { cause: error },
    );
  }
}
