/**
 * What an evaluation compares: policies, and controls beside them. Controls tell an easy item from a good policy: the full cache, no context
 * at all, rows kept at random, and an oracle that was told which rows answer the question.
 * @module
 */
import { append, block, column, decoding, everySteps, evict, needs, pipe, policy, prefillEnd, remember } from "../policy/mod.ts";
import type { Budget, Moment, Policy, Ratio } from "../policy/types.ts";
import { mixed } from "./draws.ts";
import type { Item } from "./item.ts";

/** One column of the results. */
export type Method =
  /** Everything is kept: what all others are compared with. */
  | { readonly _tag: "Full"; readonly label: string }
  /** The context is withheld. */
  | { readonly _tag: "None"; readonly label: string }
  | { readonly _tag: "Policy"; readonly label: string; readonly policy: Policy }
  /** A policy that keeps the rows to which the host gives the highest numbers. */
  | {
    readonly _tag: "Given";
    readonly label: string;
    readonly policy: Policy;
    readonly control: "random" | "oracle";
    readonly seed: number;
  };

/** The full cache. */
export const FULL: Extract<Method, { readonly _tag: "Full" }> = { _tag: "Full", label: "full cache" };
/** No context. */
export const NONE: Method = { _tag: "None", label: "no context" };

/** A policy under its own text. */
export const methodOf = (of: Policy): Method => ({ _tag: "Policy", label: of.text, policy: of });

/** Name of the column that the host writes for {@link Method} `Given`. */
export const GIVEN = "given";

/** Positions below this always stay under the random control: without them attention has nowhere to go, and any policy wins. */
export const SINKS = 4;

/** A policy whose ranking the host writes: the column exists from the first chunk on and is never changed by an op. */
const given = (label: string, share: Ratio): Policy =>
  policy(label, [
    block(append, [pipe(column(GIVEN), remember({ name: GIVEN, by: "max" }))]),
    block(prefillEnd, [pipe(column(GIVEN), evict({ budget: { _tag: "Share", share }, protect: { sinks: SINKS, recent: 0 } }))]),
  ]);

/** The controls at one share of the rows: three random ones, and the oracle. */
export const controlsAt = (share: Ratio): ReadonlyArray<Method> => {
  const percent = `${(100 * share.numerator) / share.denominator}%`;
  const make = (control: "random" | "oracle", seed: number): Method => {
    const label = control === "random" ? `random(${percent}, seed=${seed})` : `oracle(${percent})`;
    return { _tag: "Given", label, policy: given(label, share), control, seed };
  };
  return [make("random", 1), make("random", 2), make("random", 3), make("oracle", 0)];
};

/** What the host writes for a row: a random number, or for the oracle the rows that answer first and then the newest. Ranks stay below 2^24,
 * where f32 still counts. */
export function givenScore(
  method: Extract<Method, { readonly _tag: "Given" }>,
  item: Item,
): (layer: number, head: number, position: number) => number {
  if (method.control === "oracle") {
    const wanted = (position: number): boolean => item.needles.some(([from, to]) => position >= from && position < to);
    return (_layer, _head, position) => position + (wanted(position) ? 2 ** 23 : 0);
  }
  const start = mixed(method.seed);
  return (layer, head, position) => mixed(mixed(mixed(start ^ layer) ^ head) ^ position) >>> 8;
}

/** Whether a method can be asked this item: given ranks, and scores of a prompt that is read again, are for prompts that are read at once; and
 * an oracle needs something to know. */
export function fits(method: Method, item: Item): boolean {
  const atOnce = item.turns.length === 1 && item.trace === 0;
  if (method._tag === "Policy") return atOnce || !needs(method.policy).has("reconstruction");
  return method._tag !== "Given" || (atOnce && (method.control === "random" || item.needles.length > 0));
}

const selects = ({ blocks }: Policy): boolean => blocks.some(({ verbs }) => verbs.some(({ _tag }) => _tag === "Select"));

/** Whether questions are read token by token: where every decoded token reads only chosen rows, the question's shall too, or it would have
 * found its answer in all of them before anything is scored. A policy with a rule for text that is read on reads them as text. */
export const decodesQuestions = (policy: Policy): boolean =>
  selects(policy) && !policy.blocks.some(({ moment }) => moment._tag === "Chunk");

/** Decoded tokens between two compressions where a policy that acts at the end of a prompt only is asked to act while decoding. */
export const PERIOD = 16;

/** Moments of decoding. */
const DECODING: ReadonlySet<Moment["_tag"]> = new Set(["Step", "Every", "OnExit"]);

/** The policy as this item runs it: where a trace is followed, one that acts at the end of a prompt only also acts at every 16th token. */
export const policyFor = ({ policy }: Extract<Method, { readonly policy: Policy }>, item: Item): Policy =>
  item.trace === 0 || policy.blocks.some(({ moment }) => DECODING.has(moment._tag)) ? policy : everySteps(PERIOD)(decoding(policy));

/** Whether a budget is a share of the tokens. */
const isShare = (budget: Budget): boolean => {
  switch (budget._tag) {
    case "Share":
      return true;
    case "PerLayer":
      return budget.budgets.some(isShare);
    case "Pyramid":
      return isShare(budget.mean);
    case "Fitted":
      return isShare(budget.fit.of);
    default:
      return false;
  }
};

/** Tokens that the policy is planned for after turn `t`. Where a trace is followed, budgets in shares refer to prompt and trace; a policy
 * without such a budget is planned for the prompt, because its rules count what came with the prompt and what after it. */
export function seenAfter(item: Item, policy: Policy, t: number): number {
  const inShares = policy.blocks.some(({ verbs }) => verbs.some((verb) => "budget" in verb && isShare(verb.budget)));
  return item.turns.slice(0, t + 1).reduce((sum, { tokens }) => sum + tokens.length, inShares ? item.trace : 0);
}
