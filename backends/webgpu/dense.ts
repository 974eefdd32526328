/**
 * Dispatches of the ops over whole matrices and single elements.
 * @module
 */
import { weightTypes } from "../blocks.ts";
import { NONE } from "../program.ts";
import {
  apart,
  type Dispatch,
  type Grid,
  groups,
  invocations,
  isSame,
  type Kernel,
  only,
  operands,
  paramWords,
  plain,
  slotOf,
  slotsIn,
} from "./kernel.ts";

const flag = (value: boolean): number => Number(value);

/** A row of four numbers per invocation, tile by tile. */
export const embed: Kernel<"embed"> = (instr, weightAt) => {
  const table = slotOf(instr, "table");
  const { type, tiles } = weightAt(table);
  const { m, dim } = instr.params;
  return {
    scratch: 0,
    dispatches: tiles.map(({ first, rows }, tile): Dispatch =>
      plain(instr, () => invocations(m * Math.ceil(dim / 4)), {
        constants: { weightType: weightTypes.indexOf(type) },
        bound: [[2, { _tag: "Tile", slot: table, tile }], ...operands(instr, "ids", "out")],
        words: () => paramWords(instr, [first, rows]),
      })
    ),
  };
};

/** A workgroup per row. */
export const norm: Kernel<"norm"> = (instr) =>
  only(plain(instr, () => groups(instr.params.rows), {
    constants: { isOnX: flag(isSame(instr, "x", "out")) },
    bound: apart(instr, "out"),
  }));

/** Tokens from which tiles of 64 by 64 are faster than rows. */
const manyTokens = 17;

/** Entry point and grid for so many tokens, rows of a tile, and numbers of a token. */
function shapeOf(tokens: number, rows: number, k: number): { readonly entry: string; readonly grid: Grid } {
  const [x, y] = groups(Math.ceil(rows / 16));
  // Rows that are no whole quads are read number by number.
  if (k % 4 !== 0 || (tokens > 1 && tokens < manyTokens)) return { entry: "few", grid: [x, y, Math.ceil(tokens / 4)] };
  if (tokens === 1) return { entry: "one", grid: groups(Math.ceil(rows / 32)) };
  return { entry: "many", grid: [Math.ceil(rows / 64), Math.ceil(tokens / 64), 1] };
}

/** Rows for few tokens, tiles for many, each tile of the weight on its own. */
export const matmul: Kernel<"matmul"> = (instr, weightAt) => {
  const weight = slotOf(instr, "weight");
  const { type, tiles } = weightAt(weight);
  const { m, k } = instr.params;
  const dispatches = tiles.map(({ first, rows }, tile): Dispatch => {
    const { entry, grid } = shapeOf(m, rows, k);
    return plain(instr, () => grid, {
      entry,
      constants: { weightType: weightTypes.indexOf(type), isBiased: flag(slotOf(instr, "bias") !== NONE) },
      bound: [...operands(instr, "x", "bias", "out"), [3, { _tag: "Tile", slot: weight, tile }]],
      words: () => paramWords(instr, [first, rows]),
      // Halves hold weights that are halves; a decoded number may lie beyond them.
      isExact: type !== "F16",
    });
  });
  return { scratch: 0, dispatches };
};

/** An invocation per pair. */
export const rope: Kernel<"rope"> = (instr) =>
  only(plain(instr, () => invocations(instr.params.m * instr.params.heads * instr.params.dims / 2)));

/** An invocation per number. */
export const glu: Kernel<"glu"> = (instr) =>
  only(plain(instr, () => invocations(instr.params.count), {
    constants: { isOnGate: flag(isSame(instr, "gate", "out")) },
    bound: apart(instr, "out"),
  }));

/** An invocation per number, or per slot of a column. */
export const map: Kernel<"map"> = (instr) => {
  const isColumn = slotOf(instr, "layout") !== NONE;
  const slots = slotsIn(instr, "out");
  const count = isColumn ? slots : () => instr.params.count;
  return only(plain(instr, (size) => invocations(count(size)), {
    constants: { isColumn: flag(isColumn), isOnA: flag(isSame(instr, "a", "out")), isOnB: flag(isSame(instr, "b", "out")) },
    bound: apart(instr, "out"),
    words: (size) => paramWords(instr, [count(size)]),
  }));
};

/** An invocation per token and KV head. */
export const sinkGate: Kernel<"sinkGate"> = (instr) => only(plain(instr, () => invocations(instr.params.m * instr.params.kvHeads)));

/** A workgroup per row. */
export const argmax: Kernel<"argmax"> = (instr) => only(plain(instr, () => [instr.params.m, 1, 1]));
