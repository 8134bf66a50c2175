/** How the decoders begin what they write to the console about damaged packets. */
const PREFIXES = ["libopus ", "@wasm-audio-decoders/", "mpg123-decoder:"];

let active = 0;
let original: typeof globalThis.console.error;

/**
 * Runs a decoder without the lines that it would print about damage: it reports the same in its result. Whatever else
 * the program prints meanwhile goes through.
 */
export async function quietly<T>(run: () => Promise<T> | T): Promise<T> {
  const { console } = globalThis;
  if (active++ === 0) {
    original = console["error"];
    console["error"] = (...data: unknown[]) => {
      const [first] = data;
      if (typeof first !== "string" || !PREFIXES.some((prefix) => first.startsWith(prefix)))
        original.apply(console, data);
    };
  }
  try {
    return await run();
  } finally {
    if (--active === 0) console["error"] = original;
  }
}
