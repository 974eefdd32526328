/**
 * What a layer holds for its blocks: columns, a ring of queries, rows up to a bound.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Score } from "../policy/types.ts";
import type { PlannedBlock, PlannedVerb } from "./blocks.ts";
import { invalid } from "./resolve.ts";
import { queriesOf, scoresIn } from "./scores.ts";
import type { QuerySet } from "../policy/types.ts";

/** A column that some layer's rows carry. */
export interface PlannedColumn {
  readonly name: string;
  readonly initial: number;
}

/** Every score a verb looks at. */
export const scoresOf = (verb: PlannedVerb): ReadonlyArray<Score> =>
  verb._tag === "Encode" ? verb.below === null ? [] : scoresIn(verb.below.score) : scoresIn(verb.score);

/** Columns a layer's rows carry: what its blocks remember, sorted by name; every column that is read must be remembered by
 * some block or named by a Score before it in the same block. */
export function columnsOf(blocks: ReadonlyArray<PlannedBlock>, layer: number): E.Either<KvError, ReadonlyArray<PlannedColumn>> {
  const columns = new Map<string, number>();
  const path = `layer ${layer}`;
  for (const verb of blocks.flatMap((b) => b.verbs)) {
    if (verb._tag !== "Remember") continue;
    const known = columns.get(verb.name);
    if (known !== undefined && !Object.is(known, verb.initial)) {
      return invalid(`${path}.columns.${verb.name}`, `initial ${verb.initial}`, `the initial value ${known} another block gives it`);
    }
    columns.set(verb.name, verb.initial);
  }
  for (const block of blocks) {
    const named = new Set<string>();
    for (const verb of block.verbs) {
      for (const score of scoresOf(verb)) {
        if (score._tag !== "Column" || named.has(score.name)) continue;
        const initial = columns.get(score.name);
        if (initial === undefined) {
          return E.left({ _tag: "MissingPort", port: `column ${score.name}`, wantedBy: `${verb._tag} in ${path}` });
        }
        if (!Object.is(initial, score.initial)) {
          return invalid(`${path}.columns.${score.name}`, `initial ${score.initial}`, `the initial value ${initial} it is remembered with`);
        }
      }
      if (verb._tag === "Score") named.add(verb.name);
    }
  }
  return E.right([...columns].map(([name, initial]) => ({ name, initial })).sort((a, b) => a.name < b.name ? -1 : 1));
}

/** The queries that a verb looks at. */
const observed = (verb: PlannedVerb): ReadonlyArray<QuerySet> => [
  ...verb._tag === "Encode" && verb.channels !== null ? [{ _tag: "Last", count: verb.channels } as const] : [],
  ...scoresOf(verb).flatMap((s) => queriesOf(s) ?? []),
];

/** Length of the ring of recent queries a layer needs: the largest window, unless it is the one query of a decoding step. */
export const ringOf = (blocks: ReadonlyArray<PlannedBlock>): number =>
  Math.max(
    0,
    ...blocks.flatMap(({ moment, verbs }) =>
      verbs.flatMap(observed).map((queries) => {
        if (queries._tag === "Current") return 0;
        const ownQuery = queries.count === 1 && (moment._tag === "Step" || moment._tag === "Every");
        return ownQuery ? 0 : queries.count;
      })
    ),
  );

/** True if a threshold takes rows after every chunk. */
export const isThinned = (blocks: ReadonlyArray<PlannedBlock>): boolean =>
  blocks.some(({ moment, verbs }) =>
    (moment._tag === "Append" || moment._tag === "Chunk") && verbs.some((v) => v._tag === "Evict" && v.limit._tag === "Above")
  );

/** Most rows per head after the Append blocks, or null. Heads that compete for `heads * rows` may leave the others their floor. */
export function boundOf(blocks: ReadonlyArray<PlannedBlock>, heads: number): number | null {
  const bounds = blocks.filter((b) => b.moment._tag === "Append").flatMap((b) => b.verbs).flatMap((v) => {
    if (v._tag !== "Evict" || v.limit._tag !== "Rows") return [];
    return [v.across === "head" ? v.limit.rows : heads * v.limit.rows - (heads - 1) * v.floor];
  });
  return bounds.length === 0 ? null : Math.min(...bounds);
}
