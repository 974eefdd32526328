/**
 * What a policy must observe, so that a host supplies no more and a missing port is known before anything runs.
 * @module
 */
import { inside, judgedBy } from "./score.ts";
import type { Policy, Port, Score, Verb } from "./types.ts";

/** The ports all verbs of a policy observe. Columns need nothing of their own: what fills them is counted where it is remembered.
 *
 * ```ts
 * import { pipe } from "fp-ts/function.js";
 * import { assertEquals } from "@std/assert";
 * import { rows } from "./budget.ts";
 * import { afterPrefill } from "./policy.ts";
 * import { attention, lastQueries } from "./score.ts";
 * import { evict } from "./verb.ts";
 * const p = pipe(attention(lastQueries(8), "sum", "mean"), evict({ budget: rows(64) }), afterPrefill("votes", false));
 * assertEquals([...needs(p)], ["queries", "keys"]);
 * ```
 */
export const needs = (policy: Policy): ReadonlySet<Port> => new Set(policy.blocks.flatMap((b) => b.verbs).flatMap(portsOfVerb));

function portsOfVerb(verb: Verb): ReadonlyArray<Port> {
  if (verb._tag === "Rerotate") return ["keys", "position"];
  const judged = judgedBy(verb);
  const chosen: ReadonlyArray<Port> = verb._tag === "Encode" && verb.channels !== null ? ["queries", "keys"] : [];
  const own = judged === null ? chosen : [...chosen, ...portsOf(judged)];
  const protects = verb._tag === "Admit"
    ? verb.sinks > 0
    : (verb._tag === "Evict" || verb._tag === "Select") && (verb.protect.sinks > 0 || verb.protect.recent !== 0);
  return protects ? [...own, "position"] : own;
}

/** The ports one score observes. */
export const portsOf = (score: Score): ReadonlyArray<Port> => [...ownPorts(score), ...inside(score).flatMap(portsOf)];

function ownPorts(score: Score): ReadonlyArray<Port> {
  switch (score._tag) {
    case "Position":
    case "QueriesSeen":
      return ["position"];
    case "Norm":
      return [score.of];
    case "Clusters":
      return ["keys", "position"];
    case "KeySimilarity":
    case "Redundancy":
      return ["keys"];
    case "LagSpread":
      return ["keys", "values"];
    case "Attention":
    case "GroupVotes":
    case "Expected":
    case "PageBound":
    case "Centroid":
      return ["queries", "keys"];
    case "TailLoss":
    case "Nearby":
      return ["queries", "keys", "position"];
    case "Profile":
    case "Obey":
      return ["position"];
    case "Learned":
      return ["hidden"];
    case "Reconstruction":
      return ["reconstruction"];
    case "Gate":
      return ["rawKeys"];
    case "TokenClass":
      return ["tokenClass"];
    default:
      return [];
  }
}
