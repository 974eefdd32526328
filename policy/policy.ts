/**
 * Policies as a monoid: blocks in order, `keepall` in the middle of nothing.
 *
 * ```ts
 * import { pipe } from "fp-ts/function.js";
 * import { assertEquals } from "@std/assert";
 * import { rows } from "./budget.ts";
 * import { prefillEnd } from "./moment.ts";
 * import { neg, norm } from "./score.ts";
 * import { encode, evict } from "./verb.ts";
 * import { build } from "./moment.ts";
 * const small = policy("small", [block(prefillEnd, [pipe(norm("keys", "l2"), neg, evict({ budget: rows(64) }))])]);
 * const half = policy("half", [block(build, [encode("f16", "f16")])]);
 * assertEquals(showPolicy(pipe(small, and(half))), "small+half");
 * assertEquals(pipe(emptyPolicy, and(small)), small);
 * ```
 * @module
 */
import type { Monoid } from "fp-ts/Monoid.js";
import { allLayers, prefillEnd, step } from "./moment.ts";
import type { Block, Layers, Moment, Policy, Verb } from "./types.ts";

/** What acts at a moment, on all layers unless said otherwise. */
export const block = (moment: Moment, verbs: ReadonlyArray<Verb>, layers: Layers = allLayers): Block => ({ moment, layers, verbs });

/** A policy under the name it prints as: a term of the short text form, such as `knorm(25%)`, or any name for one of your own. */
export const policy = (text: string, blocks: ReadonlyArray<Block>): Policy => ({ _tag: "Policy", blocks, text });

/** The policy of most methods: one verb on all layers at the end of prefill and, if `decode`, after every decoded token. */
export const afterPrefill = (text: string, decode: boolean): (verb: Verb) => Policy => (verb) =>
  policy(text, decode ? [block(prefillEnd, [verb]), block(step, [verb])] : [block(prefillEnd, [verb])]);

/** Keeps everything: the neutral element of {@link and}. */
export const emptyPolicy: Policy = policy("keepall", []);

/** First the one, then the other: `pipe(a, and(b))`. */
export const and = (second: Policy): (first: Policy) => Policy => (first) =>
  first.blocks.length === 0
    ? second
    : second.blocks.length === 0
    ? first
    : policy(`${first.text}+${second.text}`, [...first.blocks, ...second.blocks]);

/** Policies under {@link and}, in the shape of fp-ts. */
export const policyMonoid: Monoid<Policy> = { empty: emptyPolicy, concat: (first, second) => and(second)(first) };

/** The short text form, which `parsePolicy` reads back for everything that is made of registered terms and rewrites. */
export const showPolicy = (of: Policy): string => of.text;
