/**
 * A policy of your own is an expression, no class and no callback. Run with `deno run -A examples/write_a_policy.ts`.
 * @module
 */
import { afterPrefill, and, block, build, encode, evict, norm, pipe, policy, policyToJson, rows, streaming } from "../policy/mod.ts";
import { planPolicy, uniformShape } from "../mod.ts";

// Keep the 64 rows whose values are longest, the first 4 positions and the last 8 in any case.
const longest = pipe(
  norm("values", "l2"),
  evict({ budget: rows(64), protect: { sinks: 4, recent: 8 } }),
  afterPrefill("longest", false),
);
const half = policy("half", [block(build, [encode("f16", "f16")])]);
const mine = pipe(longest, streaming, and(half));
console.log(JSON.stringify(policyToJson(mine)));

// The plan is text: what is stored, and which ops run when.
const plan = planPolicy(mine, {
  shape: uniformShape({ layers: 4, queryHeads: 8, kvHeads: 2, headDim: 64 }),
  backend: { name: "any", caps: { maxBufferBytes: 2 ** 30, threads: 1, deterministic: true, alignment: 16 }, supports: () => true },
  promptTokens: 1000,
  chunk: 256,
  codec: { _tag: "Plain", dtype: "f32" },
});
console.log(plan._tag === "Right" ? plan.right.describe : plan.left);
