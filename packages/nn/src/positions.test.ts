import { sinusoidalPositions } from "./positions.js";

describe("sinusoidalPositions", () => {
  it("has sines then cosines, at frequencies from 1 to 1/10000", () => {
    // 8 values a row: frequencies 1, 10000^(-1/3), 10000^(-2/3), 1/10000.
    const table = sinusoidalPositions(3, 8);
    expect(table).toHaveLength(24);
    expect([...table.subarray(0, 8)]).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    const expected = [0.9092974, 0.0926985, 0.004308856, 0.0002, -0.4161468, 0.9956942, 0.9999907, 1];
    expected.forEach((value, i) => expect(table[16 + i]).toBeCloseTo(value, 6));
  });

  it("does not depend on how many positions there are", () => {
    expect([...sinusoidalPositions(5, 16).subarray(0, 32)]).toEqual([...sinusoidalPositions(2, 16)]);
  });
});
