/**
 * Dispatches of the ops that group rows by the direction of their keys.
 * @module
 */
import type { OpParams } from "../ops.ts";
import { type Dispatch, formOf, groups, type Kernel, mostShares, only, operands, paramWords, plain, slotsIn, storedAs } from "./kernel.ts";

/** Where clusters start, a workgroup per head; then assignments and means in turn, workgroups that share the rows or clusters of a head. */
export const kmeans: Kernel<"kmeans"> = (instr) => {
  const { heads, iterations } = instr.params;
  const slots = slotsIn(instr, "labels");
  const stage = (entry: string, round: number, shares: (slots: number) => number, ...names: ReadonlyArray<string>): Dispatch =>
    plain(instr, (size) => [Math.min(mostShares, shares(slots(size))), heads, 1], {
      entry,
      constants: keysForm(instr.params),
      bound: [...operands(instr, "keys", "layout", "labels", "means", ...names), [7, { _tag: "Scratch" }]],
      words: () => paramWords(instr, [round]),
    });
  const assign = (round: number): Dispatch => stage("assign", round, (rows) => Math.ceil(rows / 64));
  const rounds = Array.from({ length: iterations }, (_, i) => i + 1);
  const begin = plain(instr, () => groups(heads), {
    entry: "begin",
    constants: keysForm(instr.params),
    bound: [...operands(instr), [7, { _tag: "Scratch" }]],
    words: () => paramWords(instr, [0]),
  });
  return {
    scratch: 5 * 4 * heads,
    dispatches: [
      begin,
      ...rounds.flatMap((round) => [assign(round), stage("average", round, clustersIn(instr.params))]),
      assign(iterations + 1),
    ],
  };
};

/** Most clusters of so many rows. */
const clustersIn = ({ per, count, stride }: OpParams["kmeans"]) => (rows: number): number =>
  Math.min(Math.ceil(rows / stride), count > 0 ? count : Math.ceil(rows / per) + 1);

const keysForm = ({ dim, codec }: Pick<OpParams["kmeans"], "dim" | "codec">) => storedAs("keys", formOf(codec, dim));

/** Workgroups that share the labels of a head. */
export const centroids: Kernel<"centroids"> = (instr) => {
  const { heads, stride } = instr.params;
  const slots = slotsIn(instr, "labels");
  return only(plain(instr, (size) => [Math.min(mostShares, Math.ceil(slots(size) / stride)), heads, 1], {
    constants: keysForm(instr.params),
  }));
};

/** A workgroup per KV head. */
export const clusterScores: Kernel<"clusterScores"> = (instr) => only(plain(instr, () => groups(instr.params.kvHeads)));
