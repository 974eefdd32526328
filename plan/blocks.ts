/**
 * Blocks that act on rows, resolved per layer: what the splicer lowers and what the knowable errors are.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Moment, Policy, Protect, Score, Verb } from "../policy/types.ts";
import { checkPassing, encodeLast } from "./passing.ts";
import { queriesOf, scoreError, scoresIn } from "./scores.ts";
import { invalid, type Limit, resolveBudget, resolveLayers, shareOf, unsupported } from "./resolve.ts";
import type { Target } from "./types.ts";

/** A verb of one layer with its numbers resolved. */
export type PlannedVerb =
  | Extract<Verb, { readonly _tag: "Score" | "Remember" | "Encode" }>
  | {
    readonly _tag: "Evict";
    readonly score: Score;
    readonly limit: Limit;
    readonly across: "head" | "layer";
    /** Rows every head keeps when the heads of a layer compete. */
    readonly floor: number;
    readonly protect: { readonly sinks: number; readonly recent: number };
    readonly merge: boolean;
  };

/** One block as one layer sees it. */
export interface PlannedBlock {
  readonly moment: Exclude<Moment, { readonly _tag: "Build" | "OnExit" }>;
  readonly verbs: ReadonlyArray<PlannedVerb>;
}

/** A column that some layer's rows carry. */
export interface PlannedColumn {
  readonly name: string;
  readonly initial: number;
}

/** The blocks of each layer in policy order; layers that read another's rows (`owns` false) have none. */
export function planBlocks(
  policy: Policy,
  target: Target,
  owns: (layer: number) => boolean,
): E.Either<KvError, ReadonlyArray<ReadonlyArray<PlannedBlock>>> {
  const planned: PlannedBlock[][] = target.shape.layers.map(() => []);
  for (const [b, block] of policy.blocks.entries()) {
    const { moment } = block;
    const path = `blocks[${b}]`;
    if (moment._tag === "Build") continue;
    const touched = resolveLayers(block.layers, planned.length, path);
    if (E.isLeft(touched)) return touched;
    for (const layer of touched.right) {
      const verbs: PlannedVerb[] = [];
      for (const [v, verb] of block.verbs.entries()) {
        const one = planVerb(verb, moment, layer, target, `${path}.verbs[${v}]`);
        if (E.isLeft(one)) return one;
        verbs.push(...one.right);
      }
      // What leaves a window leaves it when rows are appended.
      if (owns(layer)) planned[layer]?.push({ moment: moment._tag === "OnExit" ? { _tag: "Append" } : moment, verbs });
    }
  }
  return checkPassing(planned.map(encodeLast));
}

function planVerb(
  verb: Verb,
  moment: Moment,
  layer: number,
  target: Target,
  path: string,
): E.Either<KvError, ReadonlyArray<PlannedVerb>> {
  if (moment._tag === "OnExit" && verb._tag !== "Admit") {
    return unsupported(`${verb._tag} at the moment OnExit`, path, "only Admit decides rows as they leave a window; use the moment Append");
  }
  switch (verb._tag) {
    case "Score":
    case "Remember": {
      const wrong = scoreError(verb.score, moment, target, path);
      if (scoresIn(verb.score).some(({ _tag }) => _tag === "Promote")) {
        return unsupported(`Promote in ${verb._tag}`, path, "it takes a share of a budget, which Evict has");
      }
      return E.isLeft(wrong) ? wrong : E.right([verb]);
    }
    case "Evict": {
      const wrong = scoreError(verb.score, moment, target, path);
      return E.isLeft(wrong) ? wrong : planEvict(verb, layer, target, path);
    }
    case "Admit": {
      const wrong = scoreError(verb.score, moment, target, path);
      return E.isLeft(wrong) ? wrong : planAdmit(verb, moment, path);
    }
    case "Select":
      return unsupported("Select", path, "every query reads all rows that are kept; use Evict");
    case "Encode": {
      const wrong = verb.below === null ? E.right(undefined) : scoreError(verb.below.score, moment, target, `${path}.below`);
      return E.isLeft(wrong) ? wrong : E.right([verb]);
    }
    case "Share":
      return unsupported(`Share at the moment ${moment._tag}`, path, "rows are read where they were built to be; use the moment Build");
  }
}

/** A learned score is remembered with its row, and the row judged by the column; other scores must be as good at the exit as before. */
function planAdmit(
  { score, threshold: value, sinks }: Extract<Verb, { readonly _tag: "Admit" }>,
  moment: Moment,
  path: string,
): E.Either<KvError, ReadonlyArray<PlannedVerb>> {
  const evict = (by: Score): PlannedVerb => ({
    _tag: "Evict",
    score: by,
    limit: { _tag: "Above", value, floor: 0 },
    across: "head",
    floor: 0,
    protect: { sinks, recent: moment._tag === "OnExit" ? moment.window : 0 },
    merge: false,
  });
  if (score._tag === "Learned") {
    const name = `admit.${score.name}`;
    return E.right([
      { _tag: "Remember", name, initial: 0, score, by: "set" },
      evict({ _tag: "Column", name, initial: 0 }),
    ]);
  }
  const changing = scoresIn(score).find(({ _tag }) => !lasting.has(_tag));
  return changing === undefined
    ? E.right([evict(score)])
    : unsupported(`Admit by ${changing._tag}`, path, "a row's score must not change while it waits; remember it at the moment Append");
}

/** Scores that a row keeps as long as it is there. */
const lasting: ReadonlySet<Score["_tag"]> = new Set(["Constant", "Position", "Norm", "Column", "Unary", "Binary"]);

function planEvict(
  verb: Extract<Verb, { readonly _tag: "Evict" }>,
  layer: number,
  target: Target,
  path: string,
): E.Either<KvError, ReadonlyArray<PlannedVerb>> {
  const limit = resolveBudget(verb.budget, layer, target, `${path}.budget`);
  if (E.isLeft(limit)) return limit;
  const { score, across } = verb;
  const protect = { sinks: verb.protect.sinks, recent: recentRows(verb.protect, limit.right) };
  const kept = protect.sinks + protect.recent;
  if (limit.right._tag === "Rows" && kept > limit.right.rows) {
    const value = `${protect.sinks} sinks + ${protect.recent} recent = ${kept} rows`;
    return invalid(`${path}.protect`, value, `at most the budget of ${limit.right.rows} rows (layer ${layer})`);
  }
  const floor = limit.right._tag === "Above" ? limit.right.floor : verb.floor === null ? 0 : shareOf(verb.floor, limit.right.rows);
  return E.right([{ _tag: "Evict", score, limit: limit.right, across, floor, protect, merge: verb.merge }]);
}

/** A share of recent rows is one of the layer's budget; under a threshold, of its floor. */
const recentRows = ({ recent }: Protect, limit: Limit): number =>
  typeof recent === "number" ? recent : shareOf(recent, limit._tag === "Rows" ? limit.rows : limit.floor);

/** Every score a verb looks at. */
const scoresOf = (verb: PlannedVerb): ReadonlyArray<Score> =>
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

/** Length of the ring of recent queries a layer needs: the largest window, unless it is the one query of a decoding step. */
export const ringOf = (blocks: ReadonlyArray<PlannedBlock>): number =>
  Math.max(
    0,
    ...blocks.flatMap(({ moment, verbs }) =>
      verbs.flatMap(scoresOf).map((s) => {
        const queries = queriesOf(s);
        if (queries === null || queries._tag === "Current") return 0;
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
