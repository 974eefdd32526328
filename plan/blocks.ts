/**
 * Blocks that act on rows, resolved per layer: what the splicer lowers and what the knowable errors are.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Budget, Moment, Policy, Protect, Score, Verb } from "../policy/types.ts";
import { type Fitted, resolveFit } from "./fit.ts";
import { checkJoint } from "./joint.ts";
import { checkPassing, encodeLast } from "./passing.ts";
import { isPredicted, queriesError, queriesOf, scoreError, scoresIn } from "./scores.ts";
import { invalid, type Limit, limitRows, resolveBudget, resolveLayers, shareOf, unsupported } from "./resolve.ts";
import type { Target } from "./types.ts";

/** A verb of one layer with its numbers resolved. */
export type PlannedVerb =
  | Extract<Verb, { readonly _tag: "Score" | "Remember" | "Encode" }>
  | {
    readonly _tag: "Evict";
    readonly score: Score;
    readonly limit: Limit;
    readonly across: "head" | "layer" | "model";
    /** Rows every head keeps when heads compete. */
    readonly floor: number;
    readonly protect: { readonly sinks: number; readonly recent: number };
    readonly merge: boolean;
    /** Which rows compete: those that wait in the tail, or those of the layer's store as well. */
    readonly over: "tail" | "all";
  }
  /** Which rows the query of a decoding step reads. */
  | {
    readonly _tag: "Select";
    readonly score: Score;
    readonly limit: Limit;
    readonly across: "head";
    readonly floor: number;
    readonly protect: { readonly sinks: number; readonly recent: number };
  };

/** One block as one layer sees it. */
export interface PlannedBlock {
  readonly moment: Exclude<Moment, { readonly _tag: "Build" | "OnExit" }>;
  readonly verbs: ReadonlyArray<PlannedVerb>;
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
  const joint = checkJoint(planned);
  return E.isLeft(joint) ? joint : checkPassing(planned.map(encodeLast));
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
      return planSelect(verb, moment, layer, target, path);
    case "Encode": {
      const wrong = verb.below === null ? E.right(undefined) : scoreError(verb.below.score, moment, target, `${path}.below`);
      const blind = verb.channels === null
        ? E.right(undefined)
        : queriesError({ _tag: "Last", count: verb.channels }, moment, target, `${path}.channels`);
      return E.isLeft(wrong) ? wrong : E.isLeft(blind) ? blind : planEncode(verb, layer, target, path);
    }
    case "Rerotate":
    // What is stored is decided for the whole cache, in `codingOf`.
    case "Transform":
      return E.right([]);
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
    over: "tail",
  });
  if (isPredicted(score)) {
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

/** Codes that fit a budget; numbers of 16 bits need no store. */
function planEncode(
  verb: Extract<Verb, { readonly _tag: "Encode" }>,
  layer: number,
  target: Target,
  path: string,
): E.Either<KvError, ReadonlyArray<PlannedVerb>> {
  if (verb.fit === null) return E.right([verb]);
  return E.map(({ pair }: Fitted): ReadonlyArray<PlannedVerb> =>
    pair.keys === "f16" && pair.values === "f16" ? [] : [{ ...verb, ...pair }]
  )(resolveFit(verb.fit, layer, target, `${path}.fit`));
}

/** The rows that a budget comes to. */
const limitOf = (budget: Budget, layer: number, target: Target, path: string): E.Either<KvError, Limit> =>
  budget._tag === "Fitted"
    ? E.map(({ rows }: Fitted): Limit => ({ _tag: "Rows", rows }))(resolveFit(budget.fit, layer, target, `${path}.fit`))
    : resolveBudget(budget, layer, target, path);

function planEvict(
  verb: Extract<Verb, { readonly _tag: "Evict" }>,
  layer: number,
  target: Target,
  path: string,
): E.Either<KvError, ReadonlyArray<PlannedVerb>> {
  const limit = limitOf(verb.budget, layer, target, `${path}.budget`);
  if (E.isLeft(limit)) return limit;
  const { score, across } = verb;
  const protect = { sinks: verb.protect.sinks, recent: recentRows(verb.protect, limit.right) };
  const kept = protect.sinks + protect.recent;
  if (limit.right._tag === "Rows" && kept > limit.right.rows) {
    const value = `${protect.sinks} sinks + ${protect.recent} recent = ${kept} rows`;
    return invalid(`${path}.protect`, value, `at most the budget of ${limit.right.rows} rows (layer ${layer})`);
  }
  const floor = limit.right._tag === "Above" ? limit.right.floor : verb.floor === null ? 0 : shareOf(verb.floor, limit.right.rows);
  return E.right([{ _tag: "Evict", score, limit: limit.right, across, floor, protect, merge: verb.merge, over: "tail" }]);
}

/** A selection is a ranking that nothing follows from but what one query reads. */
function planSelect(
  verb: Extract<Verb, { readonly _tag: "Select" }>,
  moment: Moment,
  layer: number,
  target: Target,
  path: string,
): E.Either<KvError, ReadonlyArray<PlannedVerb>> {
  if (moment._tag !== "Step") {
    return unsupported(
      `Select at the moment ${moment._tag}`,
      path,
      "rows are chosen for the query of a decoded token; use the moment Step",
    );
  }
  const late = scoresIn(verb.score).find((s) => queriesOf(s) !== null);
  if (late !== undefined) {
    return unsupported(`Select by ${late._tag}`, path, "it is known only after the attention that the selection is for; use PageBound");
  }
  const planned = planEvict({ ...verb, _tag: "Evict", across: "head", floor: null, merge: false }, layer, target, path);
  return E.map((verbs: ReadonlyArray<PlannedVerb>) =>
    verbs.map((v): PlannedVerb => v._tag === "Evict" ? { ...v, _tag: "Select", across: "head" } : v)
  )(planned);
}

/** A share of recent rows is one of the layer's budget; under a threshold, of its floor. */
const recentRows = ({ recent }: Protect, limit: Limit): number => typeof recent === "number" ? recent : shareOf(recent, limitRows(limit));
