/**
 * What a pruned cache costs: fidelity to the full cache, a comparison on a text, and an estimate before anything is loaded.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference, orThrow } from "../mod.ts";
 * import { inductionModel, openModel } from "../model/mod.ts";
 * import { knorm } from "../papers/mod.ts";
 * import { compare, taskOf } from "./mod.ts";
 *
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const tokenizer = await orThrow(() => Promise.resolve(model.tokenizer()));
 * const task = await orThrow(() => Promise.resolve(taskOf(tokenizer, { document: "a=1, b=2, c=3, a=1, ", question: null, tokens: 100 })));
 * const options = { name: "induction", chunk: 64, codec: "f16", maxNewTokens: 1, progress: () => {} } as const;
 * const { runs } = await orThrow(compare(model, [knorm({ share: { numerator: 1, denominator: 2 } })], options)(task));
 * assertEquals(runs.map(({ policy, rowsKept }) => [policy, rowsKept]), [["keepall", 64], ["knorm(50%)", 32]]);
 * ```
 * @module
 */
export { compare, type CompareOptions, type Comparison, type Run } from "./compare.ts";
export { type Estimate, estimate, type EstimateOptions } from "./estimate.ts";
export { type Candidate, type Proposal, proposalOf } from "./proposal.ts";
export { type Fidelity, fidelity, kl, type Logits, logSumExp, nll, top1 } from "./metrics.ts";
export { type Speed, type SpeedOptions, speeds } from "./speeds.ts";
export { type Asked, type CompareTask, PROBE, taskOf } from "./task.ts";
