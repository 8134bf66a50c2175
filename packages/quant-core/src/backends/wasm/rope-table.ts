import { BackendError } from "../../errors.js";
import type { WasmMemory } from "./memory.js";
import type { Pointer } from "./module.js";

/** Far beyond any model's context, so that a wild position is an error and not an allocation. */
const MAX_POSITION = 2 ** 20;
const FIRST_SIZE = 512;

const { cos, sin, pow } = Math;

interface Table {
  readonly pointer: Pointer;
  readonly positions: number;
}

/**
 * Cosines and sines of the rotary angles `position · theta^(-2i/headDim)`, computed in float64 and kept per
 * (headDim, theta): `[position][headDim/2 cosines, headDim/2 sines]` float32.
 */
export class RopeTables {
  readonly #memory: WasmMemory;
  readonly #tables = new Map<string, Table>();

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** A table that has all `positions`. @throws BackendError for a position outside 0…2^20 - 1 or when memory is out */
  covering(positions: Int32Array, headDim: number, theta: number): Pointer {
    let last = 0;
    for (const position of positions) {
      if (position < 0 || position >= MAX_POSITION) {
        throw new BackendError(`rotary position ${position} is outside 0…${MAX_POSITION - 1}`);
      }
      if (position > last) last = position;
    }
    const key = `${headDim} ${theta}`;
    const known = this.#tables.get(key);
    if (known !== undefined && known.positions > last) return known.pointer;
    let size = FIRST_SIZE;
    while (size <= last) size *= 2;
    const table = this.#fill(size, headDim, theta);
    if (known !== undefined) this.#memory.free(known.pointer);
    this.#tables.set(key, table);
    return table.pointer;
  }

  #fill(positions: number, headDim: number, theta: number): Table {
    const half = headDim / 2;
    const pointer = this.#memory.allocate(positions * headDim * 4, "table of rotary angles");
    const values = this.#memory.floats(pointer, positions * headDim);
    for (let i = 0; i < half; i++) {
      const frequency = pow(theta, (-2 * i) / headDim);
      for (let position = 0; position < positions; position++) {
        const angle = position * frequency;
        values[position * headDim + i] = cos(angle);
        values[position * headDim + half + i] = sin(angle);
      }
    }
    return { pointer, positions };
  }
}
