/**
 * The policy algebra: scores, budgets, moments and verbs make blocks; blocks make policies; rewrites change them; text and
 * JSON say them. A paper imports this module and nothing else.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { block, decoding, evict, layersFrom, neg, norm, onLayers, percent, pipe, policy, prefillEnd, share } from "./mod.ts";
 * const knorm = policy("half", [block(prefillEnd, [pipe(norm("keys", "l2"), neg, evict({ budget: share(percent(50)) }))])]);
 * assertEquals(pipe(knorm, decoding, onLayers(layersFrom(2))).blocks.map((b) => b.moment._tag), ["PrefillEnd", "Step"]);
 * ```
 * @module
 */
export { flow, pipe } from "fp-ts/function.js";
export type { Either } from "fp-ts/Either.js";
export type { Eq } from "fp-ts/Eq.js";
export type { Monoid } from "fp-ts/Monoid.js";
export type { Option } from "fp-ts/Option.js";
export type * from "./types.ts";
export type { KvError } from "../cache/error.ts";
export type { Card } from "./card.ts";
export * from "./budget.ts";
export { policyEq } from "./equal.ts";
export * from "./moment.ts";
export * as param from "./param.ts";
export type { Param, Written } from "./param.ts";
export * from "./policy.ts";
export * from "./rewrite.ts";
export * from "./score.ts";
export * from "./term.ts";
export * from "./verb.ts";
export { policyFromJson, policyToJson } from "./json.ts";
export { needs } from "./needs.ts";
export { parsePolicyWith } from "./text.ts";
export { type Limits, maxText, validatePolicy } from "./validate.ts";
export { wrappers } from "./wrappers.ts";
