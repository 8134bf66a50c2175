import { BackendError, ConfigError } from "../errors.js";
import { isNode } from "../platform.js";
import type { Device } from "../ops/kernels.js";
import { addonProblem, loadAddon } from "./native/addon.js";
import { createNativeDevice } from "./native/device.js";
import { createReferenceDevice } from "./reference/device.js";
import { createTensorflowDevice } from "./tensorflow/device.js";
import { createWasmDevice } from "./wasm/device.js";
import { setWasmThreads } from "./wasm/thread-pool.js";

export const BACKENDS = ["native", "wasm", "cpu", "tensorflow"] as const;

export type BackendName = (typeof BACKENDS)[number];

/** What was chosen, and why not something better: one line for the log. */
export interface SelectedDevice {
  readonly backend: BackendName;
  readonly device: Device;
  readonly reason: string;
}

const devices = new Map<BackendName, Promise<Device>>();

/**
 * The device of a backend, made once per process. `auto` takes the first that works of native, wasm, cpu.
 * @throws BackendError if the named backend is not available here; the message says how to get it
 */
export async function selectDevice(backend: BackendName | "auto"): Promise<SelectedDevice> {
  if (backend !== "auto") return { backend, device: await device(backend), reason: "asked for" };
  const problems: string[] = [];
  for (const candidate of ["native", "wasm", "cpu"] as const) {
    try {
      const found = await device(candidate);
      return { backend: candidate, device: found, reason: problems.join("; ") || "the fastest here" };
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      problems.push(`no ${candidate}: ${error.message}`);
    }
  }
  throw new BackendError(`no backend works here (${problems.join("; ")})`);
}

/**
 * Threads of the native and the WASM kernels, the caller's included, for all models of the process; default: one per
 * core that this process may use, on WASM at most 8. WASM has more than one in Node and on cross-origin isolated pages.
 * Results do not depend on it; the other backends have one thread.
 * @throws ConfigError unless count is an integer in 1…256
 */
export function setThreads(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > 256) {
    throw new ConfigError(`threads must be an integer from 1 to 256, found ${count}`);
  }
  if (isNode) loadAddon()?.setThreads(count);
  setWasmThreads(count);
}

function device(backend: BackendName): Promise<Device> {
  let made = devices.get(backend);
  if (made === undefined) {
    made = makeDevice(backend);
    devices.set(backend, made);
    made.catch(() => devices.delete(backend));
  }
  return made;
}

async function makeDevice(backend: BackendName): Promise<Device> {
  switch (backend) {
    case "native": {
      const addon = isNode ? loadAddon() : null;
      if (addon === null) {
        throw new BackendError(
          `the native addon is not here (${addonProblem() ?? "Node only"}); build it with a C++ compiler or use the wasm backend`,
        );
      }
      return createNativeDevice(addon) as Device;
    }
    case "wasm":
      return (await createWasmDevice()) as Device;
    case "cpu":
      return createReferenceDevice() as Device;
    case "tensorflow":
      return createTensorflowDevice();
  }
}
