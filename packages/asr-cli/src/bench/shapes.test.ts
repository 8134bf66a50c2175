import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { SYNTHETIC_SIZES, qwen3AsrShapes } from "./shapes.js";

interface RealShapes {
  config: Record<string, number | boolean>;
  tensors: number;
  parameters: number;
  list: [name: string, kind: string, shape: number[]][];
}

test.each(Object.entries(SYNTHETIC_SIZES))("%s has the published names and shapes", (name, sizes) => {
  const path = goldensFolder("qwen3-asr", `real-shapes-${name.replace("qwen3-asr-", "")}.json`);
  if (path === null) return;
  const real = readGoldenJson<RealShapes>(path);
  expect(sizes).toEqual(real.config);
  const shapes = qwen3AsrShapes(sizes);
  expect(shapes.map(({ name, shape }) => [name, shape])).toEqual(
    real.list.map(([name, , shape]) => [name, shape]),
  );
  expect(shapes).toHaveLength(real.tensors);
  expect(shapes.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)).toBe(real.parameters);
  const kinds = shapes.map(({ role }) => (role.endsWith("-output") ? "linear" : role.replace("final-", "")));
  expect(kinds).toEqual(real.list.map(([, kind]) => kind));
});
