import { GGML_TYPES, ggmlTypeOfId } from "../../weight.js";
import { MAX_CALLS } from "./call-queue.js";
import type { KernelModule } from "./module.js";
import type { ThreadPool } from "./thread-pool.js";

const { ceil, max, min } = Math;

/** Calls per thread: enough that a thread which comes late or is interrupted holds up nobody. */
const CALLS_PER_THREAD = 4;
/** Least work of a call, some 5 µs: multiplications of a product, or elements of an element-wise kernel. */
const LEAST_PRODUCTS = 2 ** 17;
const LEAST_ELEMENTS = 2 ** 13;
/** Weight rows that a panel of the many-rows kernels is best split into. */
const PANEL_PART = 32;

/** A parameter that moves with the part: its position in the call and its bytes per unit. A null address stays null. */
type Stride = readonly [parameter: number, bytes: number];

/** How a call is cut into calls for parts of its units (rows, heads, elements). */
interface Cut {
  readonly units: number;
  /** Least units of a part, which is a multiple of `multiple`. */
  readonly least: number;
  readonly multiple?: number;
  /** The parameter that counts units; with `first`: the number of the unit after the last. */
  readonly count: number;
  /** The parameter that has the first unit's number. */
  readonly first?: number;
  /** A parameter that numbers the first unit, next to `count`. */
  readonly offset?: number;
  readonly strides?: readonly Stride[];
  readonly scratch?: { readonly index: number; readonly bytes: number };
  /** Whether the results take the place of an input. */
  readonly inPlace?: boolean;
}

/**
 * The kernels of `alone`, each call with much work cut into parts for the threads of a pool. A part computes what the
 * whole call does for its units, in the same order of operations, so that results do not depend on the cut. The
 * scratch sizes that are asked for cover all threads.
 */
export function shareWork(alone: KernelModule, pool: ThreadPool): KernelModule {
  function cut(
    kernel: Exclude<keyof KernelModule, "DEQUANTIZE_SCRATCH" | "FEW_ROWS">,
    parameters: readonly number[],
    how: Cut,
  ): void {
    const { units, least, multiple = 1, count, first, offset, strides = [] } = how;
    const { scratch = null, inPlace = false } = how;
    const wanted = max(least, units / min(pool.threads * CALLS_PER_THREAD, MAX_CALLS));
    const part = ceil(wanted / multiple) * multiple;
    if (pool.threads === 1 || part >= units) {
      (alone[kernel] as (...all: readonly number[]) => void)(...parameters);
      return;
    }
    pool.run(kernel, ceil(units / part), scratch, !inPlace, (call, into, at) => {
      const start = call * part;
      for (let i = 0; i < parameters.length; i++) into[at + i] = parameters[i]!;
      into[at + count] = first === undefined ? min(part, units - start) : min(start + part, units);
      if (first !== undefined) into[at + first] = start;
      if (offset !== undefined) into[at + offset]! += start;
      for (const [parameter, bytes] of strides) {
        if (parameters[parameter] !== 0) into[at + parameter]! += start * bytes;
      }
    });
  }

  /** Few rows are a race through memory, which each cut interrupts: two parts per thread. */
  function leastFew(n: number, rows: number, k: number): number {
    return max(LEAST_PRODUCTS / (rows * k), n / (2 * pool.threads));
  }

  /** Products: by weight rows, or where there are few of those, by rows of the activations. */
  function product(
    kernel: "linearManyFloat" | "linearManyInt",
    parameters: readonly number[],
    activations: readonly Stride[],
    at: {
      readonly rows: number;
      readonly bias: number;
      readonly out: number;
      readonly stride: number;
      readonly scratch: number;
    },
  ): void {
    const [type, , n, k] = parameters as [number, number, number, number];
    const rows = parameters[at.rows]!;
    const scratch = { index: at.scratch, bytes: alone.manyRowsScratch() };
    if (n >= PANEL_PART * 2 * pool.threads) {
      const strides: Stride[] = [
        [1, rowBytes(type, k)],
        [at.bias, 4],
        [at.out, 4],
      ];
      cut(kernel, parameters, {
        units: n,
        least: LEAST_PRODUCTS / (rows * k),
        multiple: PANEL_PART,
        count: 2,
        strides,
        scratch,
      });
    } else {
      // A part unpacks all weights again, which it has to be long for.
      const strides: Stride[] = [...activations, [at.out, parameters[at.stride]!]];
      const least = max(64, LEAST_PRODUCTS / (n * k));
      cut(kernel, parameters, { units: rows, least, multiple: 4, count: at.rows, strides, scratch });
    }
  }

  return {
    ...alone,
    fewRowsScratch: (k) => alone.fewRowsScratch(k) * pool.threads,
    manyRowsScratch: () => alone.manyRowsScratch() * pool.threads,
    attentionScratch: (length) => alone.attentionScratch(length) * pool.threads,

    linearFewFloat(...all) {
      const [type, , n, k, , rows] = all;
      cut("linearFewFloat", all, {
        units: n,
        least: leastFew(n, rows, k),
        multiple: 4,
        count: 2,
        strides: [
          [1, rowBytes(type, k)],
          [6, 4],
          [7, 4],
        ],
        scratch: { index: 9, bytes: alone.fewRowsScratch(k) },
      });
    },
    linearFewInt(...all) {
      const [type, , n, k, , , , , rows] = all;
      cut("linearFewInt", all, {
        units: n,
        least: leastFew(n, rows, k),
        multiple: 4,
        count: 2,
        strides: [
          [1, rowBytes(type, k)],
          [9, 4],
          [10, 4],
        ],
        scratch: { index: 12, bytes: alone.fewRowsScratch(k) },
      });
    },
    linearManyFloat(...all) {
      product("linearManyFloat", all, [[4, all[3] * 4]], { rows: 5, bias: 6, out: 7, stride: 8, scratch: 9 });
    },
    linearManyInt(...all) {
      const k = all[3];
      const activations: Stride[] = [
        [4, k * 2],
        [5, k / 8],
        [6, k / 4],
        [7, k / 8],
      ];
      product("linearManyInt", all, activations, { rows: 8, bias: 9, out: 10, stride: 11, scratch: 12 });
    },
    quantizeActivations(...all) {
      const [, rows, k] = all;
      const strides: Stride[] = [
        [0, k * 4],
        [3, k * 2],
        [4, k / 8],
        [5, k / 4],
        [6, k / 8],
      ];
      cut("quantizeActivations", all, { units: rows, least: LEAST_ELEMENTS / k, count: 1, strides });
    },
    causalAttention(...all) {
      const [, rows, heads, kvHeads, headDim, , , , position, , window] = all;
      const seen = min(window, position + rows);
      cut("causalAttention", all, {
        units: kvHeads,
        least: LEAST_PRODUCTS / ((heads / kvHeads) * rows * seen * headDim * 2),
        first: 13,
        count: 14,
        scratch: { index: 12, bytes: alone.attentionScratch(position + rows) },
      });
    },
    fullAttention(...all) {
      const [, , , rows, heads, headDim] = all;
      cut("fullAttention", all, {
        units: heads,
        least: LEAST_PRODUCTS / (rows * rows * headDim * 2),
        first: 9,
        count: 10,
        scratch: { index: 8, bytes: alone.attentionScratch(rows) },
      });
    },
    add: (...all) => cut("add", all, elements(all, [0, 1, 3], 2)),
    siluMultiply: (...all) => cut("siluMultiply", all, elements(all, [0, 1, 3], 2)),
    silu: (...all) => cut("silu", all, elements(all, [0, 2], 1)),
    gelu: (...all) => cut("gelu", all, elements(all, [0, 2], 1)),
    rmsNorm: (...all) => cut("rmsNorm", all, rowsOf(all[5], all[4], [0, 1, 6, 7], 5)),
    layerNorm: (...all) => cut("layerNorm", all, rowsOf(all[6], all[5], [0, 1, 7, 8], 6)),
    headNormRope(...all) {
      const [, , , , rows, heads, headDim] = all;
      const plan = rowsOf(rows, heads * headDim, [0, 8], 4);
      cut("headNormRope", all, { ...plan, strides: [...plan.strides!, [2, 4]] });
    },
    snake: (...all) => cut("snake", all, rowsOf(all[3], all[4], [0, 5], 3)),
    addScaled: (...all) => cut("addScaled", all, rowsOf(all[3], all[4], [0, 1, 5], 3)),
    depthwise: (...all) => cut("depthwise", all, rowsOf(all[1], all[2], [0, 6], 1)),
    gatherTaps(...all) {
      const [, rows, words, kernel] = all;
      const strides: Stride[] = [
        [0, words * 4],
        [5, words * kernel * 4],
      ];
      cut("gatherTaps", all, { units: rows, least: LEAST_ELEMENTS / (words * kernel), count: 1, strides });
    },
    gatherPatches(...all) {
      const patch = all[3] * all[4] * all[5];
      cut("gatherPatches", all, { ...rowsOf(all[13], patch, [14], 13), offset: 12 });
    },
    channelsBeforeHeight(...all) {
      const [, images, height, width, channels] = all;
      cut("channelsBeforeHeight", all, rowsOf(images, height * width * channels, [0, 5], 1));
    },
  };
}

function rowBytes(type: number, columns: number): number {
  const { block, bytes } = GGML_TYPES[ggmlTypeOfId(type)];
  return (columns / block) * bytes;
}

/**
 * Of the elements at the pointers, the last of which is the output's; a part has whole vectors, so that every element
 * is computed as in the whole.
 */
function elements(parameters: readonly number[], pointers: readonly number[], count: number): Cut {
  const out = pointers.at(-1)!;
  return {
    units: parameters[count]!,
    least: LEAST_ELEMENTS,
    multiple: 4,
    count,
    strides: pointers.map((at) => [at, 4] as const),
    inPlace: pointers.some((at) => at !== out && parameters[at] === parameters[out]),
  };
}

/** Of `rows` rows of `width` floats at each of the pointers. */
function rowsOf(rows: number, width: number, pointers: readonly number[], count: number): Cut {
  const strides = pointers.map((at) => [at, width * 4] as const);
  return { units: rows, least: LEAST_ELEMENTS / width, count, strides };
}
