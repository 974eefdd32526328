/**
 * Validity of scores, and of the columns that blocks write and read.
 * @module
 */
import { type Check, check, columnName, integer, share } from "./check.ts";
import { inside, judgedBy } from "./score.ts";
import type { Block, Moment, Nested, Score, Verb } from "./types.ts";

/** Scores nest this deep at most, and have this many parts. */
export const maxScoreDepth = 32;
const maxParts = 256;

/** The longest observation window, queries. */
export const maxQueries = 65536;

/** Numbers in range, names well formed, depth and size bounded. */
export function checkScore(score: Score, path: string): Check {
  const all = parts(score);
  if (all.length > maxParts) return check(path, "more parts", false, `at most ${maxParts} parts`);
  const depth = depthOf(score);
  if (depth > maxScoreDepth) return check(path, `${depth} parts inside each other`, false, `at most ${maxScoreDepth}`);
  for (const part of all) {
    const fault = checkPart(part, `${path}(${part._tag})`);
    if (fault !== null) return fault;
  }
  return null;
}

function checkPart(score: Score, path: string): Check {
  switch (score._tag) {
    case "Constant":
      return check(`${path}.value`, score.value, Number.isFinite(score.value), "a finite number");
    case "Column":
      return columnName(`${path}.name`, score.name) ??
        check(`${path}.initial`, score.initial, Number.isFinite(score.initial), "a finite number");
    case "Attention":
      return score.queries._tag === "Last" ? integer(`${path}.queries.count`, score.queries.count, 1, maxQueries) : null;
    case "Pool":
      return integer(`${path}.size`, score.size, 1, 1023) ??
        check(`${path}.size`, score.size, score.size % 2 === 1, "an odd number from 1 to 1023") ??
        integer(`${path}.dropLast`, score.dropLast, 0, maxQueries);
    case "QueriesSeen":
      return score.window === null ? null : integer(`${path}.window`, score.window, 1, maxQueries);
    case "Softmax":
      return integer(`${path}.dropLast`, score.dropLast, 0, maxQueries);
    case "Expected":
      return integer(`${path}.queries`, score.queries, 1, maxQueries) ?? integer(`${path}.future`, score.future, 1, maxQueries) ??
        integer(`${path}.sinks`, score.sinks, 0, maxQueries);
    case "GroupVotes":
      return integer(`${path}.queries`, score.queries, 1, maxQueries) ?? integer(`${path}.dropLast`, score.dropLast, 0, maxQueries);
    case "Redundancy":
      return check(`${path}.above`, score.above, score.above >= -1 && score.above <= 1, "a cosine from -1 to 1");
    case "PageBound":
      return integer(`${path}.page`, score.page, 1, 4096) ??
        (score.channels === null ? null : share(`${path}.channels`, score.channels));
    case "Kept":
      return integer(`${path}.rows`, score.rows, 1, 2 ** 24) ?? integer(`${path}.recent`, score.recent, 0, score.rows);
    case "Clusters":
      return checkClusters(score, path);
    case "Centroid":
      return columnName(`${path}.of`, score.of);
    case "TailLoss":
      return integer(`${path}.sinks`, score.sinks, 0, maxQueries);
    case "Learned":
    case "Gate":
      return check(
        `${path}.name`,
        score.name,
        /^[a-z][a-z0-9-]{0,31}$/.test(score.name),
        "1 to 32 small letters, digits and -, a letter first",
      );
    case "Reconstruction":
      return integer(`${path}.chunk`, score.chunk, 1, maxQueries);
    case "Profile":
    case "Obey":
      return checkNested(score.rules, `${path}.rules`) ??
        (score._tag === "Obey"
          ? null
          : check(`${path}.recovery`, score.recovery, score.recovery > 0 && score.recovery <= 1, "above 0, at most 1"));
    case "LagSpread":
      return integer(`${path}.sinks`, score.sinks, 0, maxQueries) ?? integer(`${path}.lag`, score.lag, 1, maxQueries);
    case "Nearby":
      return share(`${path}.within`, score.within);
    case "Promote":
      return share(`${path}.share`, score.share);
    default:
      return null;
  }
}

const checkClusters = (
  { into, per, count, sinks, iterations, seed }: Extract<Score, { readonly _tag: "Clusters" }>,
  path: string,
): Check =>
  columnName(`${path}.into`, into) ?? integer(`${path}.per`, per, 4, maxQueries) ?? integer(`${path}.count`, count, 0, maxQueries) ??
    integer(`${path}.sinks`, sinks, 0, maxQueries) ?? integer(`${path}.iterations`, iterations, 0, 1000) ??
    integer(`${path}.seed`, seed, 0, 0xFFFFFFFF);

const checkNested = ({ frequent, local, sinks }: Nested, path: string): Check =>
  share(`${path}.frequent`, frequent) ?? share(`${path}.local`, local) ?? integer(`${path}.sinks`, sinks, 0, maxQueries);

/** Scores that are no part of others. */
const alone: ReadonlySet<Score["_tag"]> = new Set(["Learned", "Gate", "TokenClass", "Reconstruction"]);

/** A learned score and a token's class are those of a run's own rows, a reconstruction is one of a whole prompt: they can be remembered (or
 * admit rows), but not be parts of others. */
export function checkLearned(verb: Verb, judged: Score, moment: Moment, path: string): Check {
  const found = parts(judged).find(({ _tag }) => alone.has(_tag));
  if (found === undefined) return null;
  const admits = verb._tag === "Admit" && (found._tag === "Learned" || found._tag === "Gate");
  const whole = found === judged && (admits || (verb._tag === "Remember" && verb.by === "set"));
  const atEnd = found._tag === "Reconstruction";
  return check(`${path}.score(${found._tag})`, `part of ${verb._tag}`, whole, 'the whole score of Admit, or of Remember by "set"') ??
    check(
      `${path}.moment`,
      moment._tag,
      atEnd === (moment._tag === "PrefillEnd"),
      atEnd ? "PrefillEnd, when there is a whole prompt to repeat" : "a moment of a run, which has hidden states",
    );
}

/** Clusters are numbers that rows keep: they are remembered in their own column, whose other rows have -1, and there are rows enough. */
export function checkClustering(verb: Verb, judged: Score, moment: Moment, path: string): Check {
  const found = parts(judged).find((part) => part._tag === "Clusters");
  if (found?._tag !== "Clusters") return null;
  const alone = found === judged && verb._tag === "Remember" && verb.by === "set" && verb.name === found.into && verb.initial === -1;
  return check(
    `${path}.score(Clusters)`,
    `part of ${verb._tag}`,
    alone,
    `the whole score of Remember by "set" into ${found.into}, initially -1`,
  ) ??
    check(
      `${path}.score(Clusters).count`,
      `${found.count} clusters of ${moment._tag === "Every" ? moment.steps : "all"} rows`,
      moment._tag !== "Every" || 2 * found.count <= moment.steps,
      "at most one cluster for every two rows that come in between",
    );
}

/** A column that is read must be remembered by some block, or named by a Score before it in its block, and all must agree on
 * what rows hold that were never written. */
export function checkColumns(blocks: ReadonlyArray<Block>): Check {
  const initials = new Map<string, number>();
  for (const verb of blocks.flatMap((b) => b.verbs)) {
    if (verb._tag !== "Remember") continue;
    const known = initials.get(verb.name) ?? verb.initial;
    if (known !== verb.initial) return check(`columns.${verb.name}.initial`, verb.initial, false, `${known}, as remembered before`);
    initials.set(verb.name, known);
  }
  for (const [b, block] of blocks.entries()) {
    const named = new Set<string>();
    for (const [v, verb] of block.verbs.entries()) {
      const judged = judgedBy(verb);
      for (const one of judged === null ? [] : parts(judged)) {
        const part = one._tag === "Centroid" ? { _tag: "Column", name: one.of, initial: -1 } : one;
        if (part._tag !== "Column" || named.has(part.name)) continue;
        const initial = initials.get(part.name);
        const path = `blocks[${b}].verbs[${v}].score(Column)`;
        if (initial === undefined) return check(`${path}.name`, part.name, false, "a column that some block remembers");
        if (initial !== part.initial) return check(`${path}.initial`, part.initial, false, `${initial}, as it is remembered with`);
      }
      if (verb._tag === "Score") named.add(verb.name);
    }
  }
  return null;
}

/** Parts inside each other. The number of parts is known to be small. */
const depthOf = (score: Score): number => 1 + Math.max(0, ...inside(score).map(depthOf));

/** A score and all scores inside it. Stops past the limit: subtrees that are shared or cyclic must not blow up. */
function parts(score: Score): ReadonlyArray<Score> {
  const found: Score[] = [];
  const open: Score[] = [score];
  for (let next = open.pop(); next !== undefined && found.length <= maxParts; next = open.pop()) {
    found.push(next);
    open.push(...inside(next));
  }
  return found;
}
