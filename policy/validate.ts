/**
 * What makes a policy mean something, checked without a model; with {@link Limits}, against one.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { codecOf } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import { type Check, check, columnName, integer, share } from "./check.ts";
import { maxLayers, showMoment } from "./moment.ts";
import { maxRows } from "./param.ts";
import { judgedBy } from "./score.ts";
import type { Block, Budget, Fit, Layers, Moment, Policy, Protect, Verb } from "./types.ts";
import { checkClustering, checkColumns, checkLearned, checkScore, maxQueries } from "./validate_score.ts";

/** Longest text of a policy, UTF-16 units. */
export const maxText = 4096;

/** Most blocks of a policy and verbs of a block. */
const maxBlocks = 1024;
const maxVerbs = 64;

/** What is known of the model and the prompt. */
export interface Limits {
  /** Of the model. */
  readonly layers?: number;
  /** Tokens; turns shares into rows. */
  readonly promptTokens?: number;
}

/** The policy itself, if every number is finite and in range, names are defined, windows fit into budgets and verbs stand at
 * moments where they mean something; else an InvalidPolicy with the path of the first fault.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { snapKv } from "../papers/snap_kv.ts";
 * assertEquals(E.isRight(validatePolicy(snapKv({ rows: 32, window: 32 }))), true);
 * const wrong = validatePolicy(snapKv({ rows: 31, window: 32 }));
 * assertEquals(E.isLeft(wrong) && wrong.left._tag === "InvalidPolicy" && wrong.left.path, "blocks[0].verbs[0].protect");
 * ```
 */
export function validatePolicy(policy: Policy, limits: Limits = {}): E.Either<KvError, Policy> {
  const { text, blocks } = policy;
  const faults = check(
    "text",
    `${text.length} characters`,
    text.length >= 1 && text.length <= maxText && !/\p{Cc}/u.test(text),
    `1 to ${maxText} characters, none of them a control character`,
  ) ?? check("blocks", blocks.length, blocks.length <= maxBlocks, `at most ${maxBlocks} blocks`) ??
    first(blocks, (b, i) => checkBlock(b, `blocks[${i}]`, limits)) ?? checkColumns(blocks);
  return faults === null ? E.right(policy) : E.left(faults);
}

function checkBlock(block: Block, path: string, limits: Limits): Check {
  const { moment, layers, verbs } = block;
  return checkMoment(moment, `${path}.moment`) ?? checkLayers(layers, `${path}.layers`, limits) ??
    check(`${path}.verbs`, verbs.length, verbs.length >= 1 && verbs.length <= maxVerbs, `1 to ${maxVerbs} verbs`) ??
    first(verbs, (v, i) => checkVerb(v, block, `${path}.verbs[${i}]`, limits));
}

function checkMoment(moment: Moment, path: string): Check {
  return moment._tag === "Every"
    ? integer(`${path}.steps`, moment.steps, 1, maxRows)
    : moment._tag === "OnExit"
    ? integer(`${path}.window`, moment.window, 1, maxRows)
    : null;
}

function checkLayers(layers: Layers, path: string, { layers: count = maxLayers }: Limits): Check {
  switch (layers._tag) {
    case "All":
      return null;
    case "Range": {
      const { from, to } = layers;
      const knowable = (from < 0) === (to < 0);
      return integer(`${path}.from`, from, -count, count - 1) ?? integer(`${path}.to`, to, 1 - maxLayers, maxLayers) ??
        check(path, `${from}..${to}`, !knowable || from < to, "a range that holds one layer at least");
    }
    case "List":
      return check(
        `${path}.layers`,
        layers.layers.length,
        layers.layers.length >= 1 && layers.layers.length <= maxLayers,
        "one layer at least",
      ) ??
        first(layers.layers, (l, i) => integer(`${path}.layers[${i}]`, l, -count, count - 1));
  }
}

/** Which verbs mean something when. */
const moments: Readonly<Record<Verb["_tag"], ReadonlyArray<Moment["_tag"]>>> = {
  Score: ["PrefillEnd", "Append", "Chunk", "Step", "Every", "OnExit"],
  Remember: ["PrefillEnd", "Append", "Chunk", "Step", "Every", "OnExit"],
  Admit: ["Append", "OnExit"],
  Evict: ["PrefillEnd", "Append", "Chunk", "Step", "Every", "OnExit"],
  Select: ["Append", "Chunk", "Step", "Every"],
  Encode: ["Build", "PrefillEnd", "Append", "Chunk", "Step", "Every"],
  Rerotate: ["PrefillEnd"],
  Share: ["Build"],
  Transform: ["PrefillEnd"],
};

function checkVerb(verb: Verb, { moment, layers }: Block, path: string, limits: Limits): Check {
  const allowed = moments[verb._tag];
  const when = check(
    `${path}.moment`,
    `${verb._tag} at ${showMoment(moment)}`,
    allowed.includes(moment._tag),
    `${verb._tag} at ${allowed.join(", ")}`,
  );
  const judged = judgedBy(verb);
  const at = verb._tag === "Encode" ? `${path}.below` : path;
  const learned = when ??
    (judged === null ? null : checkLearned(verb, judged, moment, at) ?? checkClustering(verb, judged, moment, at));
  if (learned !== null) return learned;
  switch (verb._tag) {
    case "Score":
    case "Remember": {
      const initial = verb._tag === "Remember" ? verb.initial : 0;
      return columnName(`${path}.name`, verb.name) ?? check(`${path}.initial`, initial, Number.isFinite(initial), "a finite number") ??
        checkScore(verb.score, `${path}.score`);
    }
    case "Admit":
      return check(`${path}.threshold`, verb.threshold, Number.isFinite(Math.fround(verb.threshold)), "a finite f32") ??
        integer(`${path}.sinks`, verb.sinks, 0, maxRows) ?? checkScore(verb.score, `${path}.score`);
    case "Evict":
      return checkScore(verb.score, `${path}.score`) ?? checkBudget(verb.budget, `${path}.budget`, limits) ??
        checkEvict(verb, moment, path, limits);
    case "Select":
      return checkScore(verb.score, `${path}.score`) ?? checkBudget(verb.budget, `${path}.budget`, limits) ??
        checkProtect(verb.protect, verb.budget, `${path}.protect`, limits);
    case "Rerotate":
      return check(`${path}.layers`, layers._tag, layers._tag === "All", "all layers: positions are those of the whole text");
    case "Encode":
      return checkEncode(verb, moment, path, limits);
    case "Transform":
      return check(`${path}.ratio`, verb.ratio, verb.ratio >= 1 && verb.ratio <= 1024, "a number from 1 to 1024") ??
        integer(`${path}.sinks`, verb.sinks, 0, maxRows) ?? integer(`${path}.recent`, verb.recent, 0, maxRows);
    case "Share": {
      const lowest = layers._tag === "Range" && layers.from >= 0
        ? layers.from
        : layers._tag === "List"
        ? Math.min(...layers.layers)
        : maxLayers;
      return integer(`${path}.from`, verb.from, 0, (limits.layers ?? maxLayers) - 1) ??
        check(`${path}.from`, verb.from, lowest < 0 || verb.from < lowest, "a layer before those that read its rows");
    }
  }
}

function checkEncode(verb: Extract<Verb, { readonly _tag: "Encode" }>, moment: Moment, path: string, limits: Limits): Check {
  const { keys, values, recent, below, fit, channels } = verb;
  const builds = moment._tag === "Build";
  const last = fit?.pairs[fit.pairs.length - 1];
  const wrong = integer(`${path}.recent`, recent, 0, maxRows) ??
    check(`${path}.recent`, recent, !builds || recent === 0, "0 at the moment Build") ??
    check(`${path}.fit`, "a fit", fit === null || !builds, "null at the moment Build") ??
    (fit === null ? null : checkFit(fit, `${path}.fit`, limits)) ??
    check(`${path}.keys`, keys, fit === null || last?.keys === keys, "the last of the fit's pairs") ??
    check(`${path}.values`, values, fit === null || last?.values === values, "the last of the fit's pairs") ??
    check(`${path}.channels`, String(channels), channels === null || !builds, "null at the moment Build") ??
    check(`${path}.keys`, keys, channels === null || codecOf(keys)._tag === "Channels", "a codec of some channels, such as f16k60") ??
    (channels === null ? null : integer(`${path}.channels`, channels, 1, maxQueries));
  if (wrong !== null || below === null) return wrong;
  return check(`${path}.below`, "a score", !builds, "null at the moment Build") ??
    check(`${path}.below.value`, below.value, Number.isFinite(Math.fround(below.value)), "a finite f32") ??
    check(`${path}.below.leave`, below.leave ?? 0, Number.isFinite(Math.fround(below.leave ?? 0)), "a finite f32, or null") ??
    checkScore(below.score, `${path}.below.score`);
}

function checkFit({ of, pairs }: Fit, path: string, limits: Limits): Check {
  const plain = of._tag !== "Above" && of._tag !== "Fitted";
  return check(`${path}.of`, of._tag, plain, "Rows, Share, PerLayer or Pyramid") ?? checkBudget(of, `${path}.of`, limits) ??
    check(`${path}.pairs`, pairs.length, pairs.length >= 1 && pairs.length <= 16, "1 to 16 pairs of codecs");
}

function checkEvict(verb: Extract<Verb, { readonly _tag: "Evict" }>, moment: Moment, path: string, limits: Limits): Check {
  const { across, floor, budget, protect } = verb;
  const competing = check(
    `${path}.across`,
    "model",
    across !== "model" || moment._tag === "PrefillEnd",
    '"head" or "layer" before the end of the prompt',
  ) ??
    check(`${path}.floor`, "a floor", floor === null || across !== "head", 'null unless heads compete (across "layer" or "model")') ??
    (floor === null ? null : share(`${path}.floor`, floor)) ??
    check(`${path}.across`, across, across === "head" || budget._tag !== "Above", '"head" for a budget that is a threshold');
  return competing ?? checkProtect(protect, budget, `${path}.protect`, limits);
}

function checkProtect({ sinks, recent }: Protect, budget: Budget, path: string, limits: Limits): Check {
  const numbers = integer(`${path}.sinks`, sinks, 0, maxRows) ??
    (typeof recent === "number" ? integer(`${path}.recent`, recent, 0, maxRows) : share(`${path}.recent`, recent));
  if (numbers !== null) return numbers;
  return first(knownRows(budget, limits), (rows) => {
    const kept = sinks + (typeof recent === "number" ? recent : Math.floor(rows * recent.numerator / recent.denominator));
    return check(path, `${kept} protected rows`, kept <= rows, `at most the budget of ${rows} rows`);
  });
}

/** The budgets in rows, of all layers, as far as they are known. */
function knownRows(budget: Budget, limits: Limits): ReadonlyArray<number> {
  switch (budget._tag) {
    case "Rows":
      return [budget.rows];
    case "Share":
      return limits.promptTokens === undefined
        ? []
        : [Math.max(1, Math.floor(limits.promptTokens * budget.share.numerator / budget.share.denominator))];
    case "PerLayer":
      return budget.budgets.flatMap((b) => knownRows(b, limits));
    case "Pyramid":
      return knownRows(budget.mean, limits);
    case "Above":
    case "Fitted":
      return [];
  }
}

function checkBudget(budget: Budget, path: string, limits: Limits): Check {
  switch (budget._tag) {
    case "Rows":
      return integer(`${path}.rows`, budget.rows, 1, maxRows);
    case "Share":
      return share(`${path}.share`, budget.share);
    case "PerLayer": {
      const count = budget.budgets.length;
      return check(
        `${path}.budgets`,
        count,
        count >= 1 && count === (limits.layers ?? count) && count <= maxLayers,
        `one budget per layer`,
      ) ??
        first(
          budget.budgets,
          (b, i) =>
            check(`${path}.budgets[${i}]`, b._tag, ["Rows", "Share", "Above"].includes(b._tag), "Rows, Share or Above") ??
              checkBudget(b, `${path}.budgets[${i}]`, limits),
        );
    }
    case "Pyramid":
      return check(`${path}.mean`, budget.mean._tag, budget.mean._tag === "Rows" || budget.mean._tag === "Share", "Rows or Share") ??
        checkBudget(budget.mean, `${path}.mean`, limits) ?? integer(`${path}.window`, budget.window, 0, maxRows) ??
        check(`${path}.beta`, budget.beta, Number.isFinite(budget.beta) && budget.beta >= 1, "a number from 1") ??
        first(
          knownRows(budget.mean, limits),
          (rows) => check(`${path}.window`, budget.window, budget.window < rows, `less than the mean budget of ${rows} rows`),
        );
    case "Above":
      return check(`${path}.value`, budget.value, Number.isFinite(budget.value), "a finite number") ??
        integer(`${path}.floor`, budget.floor, 0, maxRows);
    case "Fitted":
      return checkFit(budget.fit, `${path}.fit`, limits);
  }
}

function first<A>(items: ReadonlyArray<A>, faultOf: (item: A, i: number) => Check): Check {
  for (const [i, item] of items.entries()) {
    const fault = faultOf(item, i);
    if (fault !== null) return fault;
  }
  return null;
}
