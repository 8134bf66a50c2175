import { engine, env } from "@tensorflow/tfjs-core";
import { BackendError } from "../../errors.js";
import { isNode, nodeBuiltin } from "../../platform.js";

/** What we use of tfjs-node's backend: `write` keeps the array until TensorFlow needs it, `readSync` brings it back. */
export interface NodeBackend {
  write(values: Float32Array, shape: number[], dtype: "float32"): object;
  readSync(dataId: object): Float32Array;
}

interface NodePackage {
  engine(): unknown;
  setBackend(name: string): Promise<boolean>;
  findBackend(name: string): NodeBackend | null;
}

const PACKAGE = "@tensorflow/tfjs-node";
const VERSION = "4.22.0";

/**
 * The backend of the optional peer dependency @tensorflow/tfjs-node: that of the folder VOXQUANT_TENSORFLOW if it is
 * set, else the one that this package resolves.
 * @throws BackendError if it is not installed, does not load, or brings a tfjs of its own that does not share our engine
 */
export async function loadTensorflow(): Promise<NodeBackend> {
  if (!isNode) throw new BackendError(`the tensorflow backend needs ${PACKAGE}, which exists in Node only`);
  // TensorFlow's C++ code reads this when it is loaded: no notes about CPU features on stderr, errors only.
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2";
  // tfjs-node registers all kernels of tfjs again, beside ours; outside production mode that is a warning each.
  const production = env().getBool("PROD");
  env().set("PROD", true);
  let tensorflow: NodePackage;
  try {
    // The name is not a literal, so that bundlers and the type checker do not look for an optional package.
    const loaded = (await import(/* @vite-ignore */ /* webpackIgnore: true */ packageLocation())) as {
      default?: unknown;
    };
    tensorflow = (loaded.default ?? loaded) as NodePackage;
  } catch (error) {
    throw new BackendError(
      `the tensorflow backend needs ${PACKAGE}, which is not installed or does not load; ` +
        `install it with: npm install ${PACKAGE}@${VERSION}`,
      { cause: error },
    );
  } finally {
    env().set("PROD", production);
  }
  if (tensorflow.engine() !== engine()) {
    throw new BackendError(
      `${PACKAGE} brought another copy of tfjs that does not share its engine with ours; install version ${VERSION}`,
    );
  }
  await tensorflow.setBackend("tensorflow");
  const backend = tensorflow.findBackend("tensorflow");
  if (backend === null) {
    throw new BackendError(
      `${PACKAGE} is installed but registered no tensorflow backend; reinstall it with: npm install ${PACKAGE}@${VERSION}`,
    );
  }
  return backend;
}

/** The package's name, or the URL of its main file in the folder that was asked for. */
function packageLocation(): string {
  const folder = process.env["VOXQUANT_TENSORFLOW"];
  if (folder === undefined || folder === "") return PACKAGE;
  const { join, resolve } = nodeBuiltin("node:path");
  const { createRequire } = nodeBuiltin("node:module");
  const file = createRequire(join(resolve(folder), "package.json")).resolve(PACKAGE);
  return nodeBuiltin("node:url").pathToFileURL(file).href;
}
