import { ConfigError, ResourceError } from "../errors.js";
import { chooseGguf } from "./gguf-choice.js";

const folder = (ggufs: string[], hasSafetensors = true) => ({
  location: "models/m",
  ggufs,
  hasSafetensors,
  preference: ["model-q8_0.gguf", "model-q6k.gguf", "model-q6_k.gguf", "model-q4_0.gguf", "model.gguf"],
  part: "decoder",
});

test("the family's order of preference, and the choice is told", () => {
  const choice = chooseGguf(folder(["a.gguf", "model-q4_0.gguf", "model-q6_k.gguf", "model.gguf"]));
  expect(choice.name).toBe("model-q6_k.gguf");
  expect(choice.reason).toMatch(
    /models\/m: uses model-q6_k\.gguf.*also there: a\.gguf, model-q4_0\.gguf, model\.gguf, safetensors/,
  );
  expect(chooseGguf(folder(["model-q6k.gguf", "model-q8_0.gguf"])).name).toBe("model-q8_0.gguf");
});

test("safetensors where there is no known GGUF", () => {
  expect(chooseGguf(folder([]))).toEqual({ name: null, reason: null });
  expect(chooseGguf(folder(["mine.gguf"])).name).toBeNull();
  expect(chooseGguf(folder(["mine.gguf"])).reason).toMatch(/mine\.gguf/);
  expect(chooseGguf(folder(["model-q8_0.gguf"]), "safetensors").name).toBeNull();
});

test("a GGUF alone is taken whatever its name", () => {
  expect(chooseGguf(folder(["mine.gguf"], false))).toEqual({ name: "mine.gguf", reason: null });
  expect(chooseGguf(folder(["mine.gguf"]), "gguf").name).toBe("mine.gguf");
});

test("the caller's choice wins", () => {
  expect(chooseGguf(folder(["model-q8_0.gguf"]), "auto", "x/mine.gguf")).toEqual({
    name: "x/mine.gguf",
    reason: null,
  });
  expect(() => chooseGguf(folder([]), "safetensors", "mine.gguf")).toThrow(ConfigError);
});

test("several of unknown name are an error that lists them", () => {
  expect(() => chooseGguf(folder(["a.gguf", "b.gguf"]))).toThrow(/a\.gguf, b\.gguf.*model-q8_0\.gguf/);
  expect(() => chooseGguf(folder(["a.gguf", "b.gguf"], false))).toThrow(ConfigError);
  expect(chooseGguf(folder(["a.gguf", "b.gguf"]), "safetensors").name).toBeNull();
});

test("what was asked for must be there", () => {
  expect(() => chooseGguf(folder([]), "gguf")).toThrow(ResourceError);
  expect(() => chooseGguf(folder([], false))).toThrow(/no weights/);
  expect(() => chooseGguf(folder(["model.gguf"], false), "safetensors")).toThrow(ResourceError);
});
