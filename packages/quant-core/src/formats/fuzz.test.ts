import { VoxquantError } from "../errors.js";
import { MemorySink } from "./byte-sink.js";
import { GgufWriter, type WritableMetadataValue } from "./gguf-writer.js";
import { openCheckpoint } from "./open.js";
import { writeSafetensors } from "./safetensors-writer.js";

const ITERATIONS = 4000;
const TIME_LIMIT_MS = 8000;
/** One allocation from a forged count would be far above this. */
const ALLOCATION_LIMIT = 64 * 2 ** 20;

/** Values that break arithmetic: bounds of the integer types, and small counts beside the right one. */
const INTERESTING = [
  0n,
  1n,
  2n,
  31n,
  33n,
  0x7fn,
  0xffn,
  0xffffn,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Numerical Recipes' generator: the same mutations in every run. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }
}

function mutate(file: Uint8Array, headerLength: number, random: Random): Uint8Array {
  let bytes = file.slice();
  for (let edits = 1 + random.below(3); edits > 0; edits--) {
    const position = random.below(Math.min(headerLength, bytes.length));
    const view = new DataView(bytes.buffer);
    const value = INTERESTING[random.below(INTERESTING.length)]!;
    switch (random.below(6)) {
      case 0:
        bytes[position] = random.below(256);
        break;
      case 1:
        bytes[position]! ^= 1 << random.below(8);
        break;
      case 2:
        if (position + 4 <= bytes.length) view.setUint32(position, Number(value & 0xffffffffn), true);
        break;
      case 3:
        if (position + 8 <= bytes.length) view.setBigUint64(position, value, true);
        break;
      case 4: // a piece twice
        bytes = Uint8Array.of(...bytes.subarray(0, position), ...bytes.subarray(random.below(position + 1)));
        break;
      default: // the file cut
        if (random.below(4) === 0) bytes = bytes.slice(0, position + 1);
    }
  }
  return bytes;
}

async function ggufFile(): Promise<Uint8Array> {
  const sink = new MemorySink();
  const metadata = new Map<string, WritableMetadataValue>([
    ["general.architecture", "x"],
    ["general.alignment", 32],
    ["a.words", ["one", "two"]],
    ["a.numbers", [1, 2, 3]],
    ["a.flags", [true]],
    ["a.large", 2n ** 40n],
  ]);
  const writer = new GgufWriter(
    sink,
    [
      { name: "a", dtype: "F32", shape: [2, 3] },
      { name: "b", dtype: "Q4_0", shape: [2, 32] },
    ],
    { metadata, alignment: 64 },
  );
  await writer.write("a", new Uint8Array(24));
  await writer.write("b", new Uint8Array(36));
  await writer.finish();
  return sink.concat();
}

async function safetensorsFile(): Promise<Uint8Array> {
  const sink = new MemorySink();
  const tensors = [
    { name: "a", dtype: "F32", shape: [2, 3], bytes: new Uint8Array(24) },
    { name: "b", dtype: "I64", shape: [], bytes: new Uint8Array(8) },
  ];
  await writeSafetensors(sink, tensors, { format: "pt" });
  return sink.concat();
}

it.each([
  { format: "GGUF", create: ggufFile, seed: 1 },
  { format: "safetensors", create: safetensorsFile, seed: 2 },
])(
  "mutated $format headers are read or refused with a typed error, in bounded memory",
  async ({ create, seed }) => {
    const file = await create();
    const random = new Random(seed);
    const deadline = Date.now() + TIME_LIMIT_MS;
    let accepted = 0;
    let refused = 0;
    for (let i = 0; i < ITERATIONS && Date.now() < deadline; i++) {
      const bytes = mutate(file, file.length - 32, random);
      const before = process.memoryUsage().arrayBuffers;
      try {
        const checkpoint = await openCheckpoint(bytes);
        for (const { name, byteLength } of checkpoint.tensors.values()) {
          const read = await checkpoint.readRange(name, 0, byteLength);
          if (read.length !== byteLength)
            throw new Error(`mutation ${i}: ${read.length} of ${byteLength} bytes`);
        }
        accepted++;
      } catch (error) {
        if (!(error instanceof VoxquantError)) {
          throw new Error(`mutation ${i} (${Buffer.from(bytes).toString("hex")}) gave an untyped error`, {
            cause: error,
          });
        }
        refused++;
      }
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(ALLOCATION_LIMIT);
    }
    // Both paths were taken: the mutations are neither harmless nor all of one kind.
    expect(accepted).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(100);
  },
);
