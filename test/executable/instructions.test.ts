import { afterAll, beforeAll, expect, test } from "vitest";
import { acceptedFigures, countInstructions, type Figures, format } from "../bench/instructions.ts";

/** How much more than accepted is too much. */
const TOLERANCE = 1.05;
const remedy = "accept new ones by: test/runner/isolated node --import tsx test/bench/instructions.ts --write";
const accepted = acceptedFigures();
let figures: Figures;

beforeAll(async () => {
  figures = await countInstructions();
});
afterAll(() => console.log(format(figures, accepted)));

test("every figure was accepted once, for this architecture too", () => {
  expect(Object.keys(accepted).sort(), `${process.arch}: ${remedy}`).toEqual(Object.keys(figures).sort());
});

test("no operation executes more than 5 % more instructions than was accepted", () => {
  const grown = Object.entries(figures).filter(([name, value]) => !(value <= accepted[name]! * TOLERANCE));
  expect(
    grown.map(([name, value]) => `${name}: ${value}, accepted ${accepted[name]}`),
    `${remedy}`,
  ).toEqual([]);
});
