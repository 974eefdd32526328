/**
 * Tables that a plan's ops read beside the cache: how queries to come are rotated.
 * @module
 */
import { meanTurns } from "../cache/rope.ts";
import type { Rope } from "../cache/shape.ts";
import type { Score } from "../policy/types.ts";
import type { PlannedBlock } from "./blocks.ts";
import { scoresOf } from "./holds.ts";
import type { PlanTable, Target } from "./types.ts";

type Expected = Extract<Score, { readonly _tag: "Expected" }>;

/** What the table of a score is bound to. */
export const turnsName = (rope: Rope, { queries, future }: Pick<Expected, "queries" | "future">): string =>
  `turns.${queries}.${future}.${rope.theta}.${rope.dims}${rope.divisors === undefined ? "" : `.${rope.divisors.join("_")}`}`;

/** Every table that some layer's scores read, once. */
export function tablesOf(blocks: ReadonlyArray<ReadonlyArray<PlannedBlock>>, { shape }: Target): ReadonlyArray<PlanTable> {
  const tables = new Map<string, PlanTable>();
  for (const [l, own] of blocks.entries()) {
    const rope = shape.layers[l]?.rope;
    for (const score of own.flatMap((b) => b.verbs).flatMap(scoresOf)) {
      if (score._tag !== "Expected" || rope === undefined) continue;
      const name = turnsName(rope, score);
      if (!tables.has(name)) tables.set(name, { name, numbers: meanTurns(rope, score.queries, score.future) });
    }
  }
  return [...tables.values()];
}
