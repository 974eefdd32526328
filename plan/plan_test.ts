import { assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { uniformShape } from "../cache/uniform.ts";
import type { OpName } from "../backends/ops.ts";
import type { Block, Budget, Moment, Policy, Score, Verb } from "../policy/types.ts";
import { encode } from "../policy/verb.ts";
import { planPolicy } from "./plan.ts";
import type { PolicyPlan, SplicePoint, Target } from "./types.ts";

const target = (over: Partial<Target> = {}, supports: (op: OpName) => boolean = () => true): Target => ({
  shape: uniformShape({ layers: 3, queryHeads: 4, kvHeads: 2, headDim: 4, context: 1000 }),
  backend: { name: "toy", caps: { maxBufferBytes: 1e6, threads: 1, deterministic: true, alignment: 16 }, supports },
  promptTokens: 100,
  chunk: 16,
  codec: { _tag: "Plain", dtype: "f16" },
  ...over,
});

const rows = (n: number): Budget => ({ _tag: "Rows", rows: n });
const position: Score = { _tag: "Position" };
const mass = (queries: "Current" | number): Score => ({
  _tag: "Attention",
  queries: queries === "Current" ? { _tag: "Current" } : { _tag: "Last", count: queries },
  overQueries: "sum",
  overGroup: "mean",
});
const evict = (score: Score, budget: Budget, over: Partial<Extract<Verb, { readonly _tag: "Evict" }>> = {}): Verb => ({
  _tag: "Evict",
  score,
  budget,
  across: "head",
  floor: null,
  protect: { sinks: 0, recent: 0 },
  merge: false,
  ...over,
});
const at = (moment: Moment["_tag"] & ("Build" | "PrefillEnd" | "Append" | "Step"), ...verbs: ReadonlyArray<Verb>): Block => ({
  moment: { _tag: moment },
  layers: { _tag: "All" },
  verbs,
});
const policy = (...blocks: ReadonlyArray<Block>): Policy => ({ _tag: "Policy", blocks, text: "toy" });

function planned(result: ReturnType<typeof planPolicy>): PolicyPlan {
  if (E.isLeft(result)) throw new Error(showError(result.left));
  return result.right;
}
const refusal = (result: ReturnType<typeof planPolicy>): string => E.isLeft(result) ? showError(result.left) : "planned";

const prefillEnd: SplicePoint = { _tag: "PrefillEnd" };
const afterChunk: SplicePoint = { _tag: "AfterChunk", m: 16 };
const afterStep: SplicePoint = { _tag: "AfterStep", every: [] };

Deno.test("keepAll stores rows as the target says and does nothing at any point", () => {
  const plan = planned(planPolicy(policy(), target()));
  assertEquals(plan.layers[2], {
    keyCodec: { _tag: "Plain", dtype: "f16" },
    valueCodec: { _tag: "Plain", dtype: "f16" },
    readsFrom: 2,
    columns: [],
    recentQueries: 0,
    ringLasts: false,
    store: null,
    rowsBound: null,
    pages: null,
    thinned: false,
  });
  assertEquals([prefillEnd, afterChunk, afterStep].map((p) => plan.rewritesAt(p) || plan.evictsAt(p)), [false, false, false]);
});

Deno.test("Append blocks act after chunks and after decoded tokens, and bound the rows", () => {
  const plan = planned(planPolicy(policy(at("Append", evict(position, rows(8)))), target()));
  assertEquals([prefillEnd, afterChunk, afterStep].map(plan.evictsAt), [false, true, true]);
  assertEquals(plan.layers.map((l) => l.rowsBound), [8, 8, 8]);
});

Deno.test("heads that compete may hold what the floors of the others leave", () => {
  const competing = evict(position, rows(10), { across: "layer", floor: { numerator: 1, denominator: 4 } });
  const plan = planned(planPolicy(policy(at("Append", competing)), target()));
  assertEquals(plan.layers[0]?.rowsBound, 2 * 10 - 2);
});

Deno.test("Every(n) acts at its steps only", () => {
  const plan = planned(planPolicy(policy({ ...at("Step", evict(position, rows(8))), moment: { _tag: "Every", steps: 5 } }), target()));
  assertEquals(plan.periods, [5]);
  assertEquals([afterStep, { _tag: "AfterStep", every: [5] } as const].map(plan.evictsAt), [false, true]);
});

Deno.test("a window of queries needs a ring, unless it is the one query of a decoding step", () => {
  const ring = (moment: "PrefillEnd" | "Append" | "Step", count: number): number | undefined =>
    planned(planPolicy(policy(at(moment, evict(mass(count), rows(8)))), target())).layers[0]?.recentQueries;
  assertEquals([ring("PrefillEnd", 4), ring("PrefillEnd", 1), ring("Append", 1), ring("Step", 1), ring("Step", 3)], [4, 1, 1, 0, 3]);
});

Deno.test("a sum of attention accumulates into its column without a temporary", () => {
  const remember: Verb = { _tag: "Remember", name: "mass", initial: 0, score: mass("Current"), by: "sum" };
  const plan = planned(planPolicy(policy(at("Append", remember)), target()));
  assertStringIncludes(plan.describe, "attendReduce queries keys position layout queryPosition lse column.mass {queries=16");
  assertStringIncludes(plan.describe, "accumulate=true");
  assertEquals(plan.describe.includes("%"), false);
});

Deno.test("equal scores of one point are computed once, and again after rows have left", () => {
  const sum: Score = {
    _tag: "Binary",
    fn: "add",
    left: { _tag: "Norm", of: "keys", by: "l2" },
    right: { _tag: "Norm", of: "keys", by: "l2" },
  };
  const count = (text: string): number => text.split("\n").filter((line) => line.trim().startsWith("reduce")).length;
  assertEquals(count(planned(planPolicy(policy(at("PrefillEnd", evict(sum, rows(8)))), target())).describe), 1);
  assertEquals(count(planned(planPolicy(policy(at("PrefillEnd", evict(sum, rows(8)), evict(sum, rows(4)))), target())).describe), 2);
});

Deno.test("a score that reads a column is computed again once the column is written", () => {
  const read: Score = { _tag: "Unary", fn: "neg", of: { _tag: "Column", name: "c", initial: 0 } };
  const write = (score: Score): Verb => ({ _tag: "Remember", name: "c", initial: 0, score, by: "set" });
  const plan = planned(planPolicy(policy(at("PrefillEnd", write(position), write(read), evict(read, rows(8)))), target()));
  assertEquals(plan.describe.split("\n").filter((line) => line.includes("fn=neg")).length, 2);
});

Deno.test("an eviction closes up keys, values, positions and every column, then the lengths", () => {
  const remember: Verb = { _tag: "Remember", name: "mass", initial: 0, score: mass("Current"), by: "sum" };
  const plan = planned(planPolicy(policy(at("Append", remember), at("PrefillEnd", evict(position, rows(8)))), target()));
  const end = plan.describe.slice(plan.describe.indexOf("at the end of prefill")).split("\n").map((line) =>
    line.trim().split(" ").slice(0, 2).join(" ")
  );
  assertEquals(end.slice(3, 9), [
    "rank %10",
    "compact keys",
    "compact values",
    "compact position",
    "compact column.mass",
    "truncate %12",
  ]);
});

Deno.test("shared layers read an earlier owner of the same geometry and take no part in evictions", () => {
  const share = (layers: ReadonlyArray<number>, from: number): Block => ({
    moment: { _tag: "Build" },
    layers: { _tag: "List", layers },
    verbs: [{ _tag: "Share", from }],
  });
  const plan = planned(planPolicy(policy(share([2], 0), at("PrefillEnd", evict(position, rows(8)))), target()));
  assertEquals(plan.layers.map((l) => l.readsFrom), [0, 1, 0]);
  assertStringIncludes(plan.describe, "layer 2\n    reads the rows of layer 0");
  assertStringIncludes(refusal(planPolicy(policy(share([1], 0), share([2], 1)), target())), "layer 1 reads those of layer 0");
  assertStringIncludes(refusal(planPolicy(policy(share([1], 1)), target())), "a layer before");
});

Deno.test("what can be known beforehand is refused in a sentence with value and range", () => {
  const cases: ReadonlyArray<readonly [Policy, string]> = [
    [policy(at("PrefillEnd", evict(position, rows(0)))), "from 1"],
    [
      policy(at("PrefillEnd", evict(position, rows(1001)))),
      'found "1001", allowed is a whole number of rows from 1 to the model\'s context of 1000',
    ],
    [policy(at("PrefillEnd", evict(position, rows(8), { protect: { sinks: 5, recent: 4 } }))), "8 rows"],
    [
      policy(at("PrefillEnd", evict(mass(101), rows(200)))),
      'found "101", allowed is an observation window from 1 to the prompt\'s 100 tokens',
    ],
    [policy(at("PrefillEnd", evict(mass("Current"), rows(8)))), "Last(count) at the moment PrefillEnd"],
    [
      policy(at("Append", { _tag: "Admit", score: mass("Current"), threshold: 1, sinks: 0 })),
      "Admit by Attention (blocks[0].verbs[0]) is not supported by the planner",
    ],
    [
      policy(at("Append", { _tag: "Admit", score: { _tag: "Learned", name: "gate" }, threshold: 1, sinks: 0 })),
      'the network "gate" that blocks[0].verbs[0] scores with is not available: the model was opened without its weights',
    ],
    [
      policy(at("Append", { _tag: "Select", score: position, budget: rows(8), protect: { sinks: 0, recent: 0 } })),
      "Select at the moment Append (blocks[0].verbs[0]) is not supported by the planner",
    ],
    [
      policy({ ...at("Step", evict(position, rows(8))), moment: { _tag: "OnExit", window: 4 } }),
      "Evict at the moment OnExit (blocks[0].verbs[0]) is not supported",
    ],
    [
      policy(at("Append", encode("q4c32", "q4g32")), at("Step", evict(position, rows(8)))),
      "Evict at the moment Step beside Encode (layer 0) is not supported by the planner: rows whose keys are coded per channel",
    ],
    [
      policy(at("Append", encode("q8", "q8")), at("Step", evict(position, rows(8), { merge: true }))),
      "Evict at the moment Step beside Encode (layer 0) is not supported by the planner: values are not folded into rows that are codes",
    ],
    [
      policy(
        at("Step", { _tag: "Remember", name: "last", initial: 0, score: position, by: "max" }),
        at("Step", encode("q8", "q8")),
        at("Step", evict({ _tag: "Column", name: "last", initial: 0 }, rows(8))),
      ),
      "the column last beside Encode (layer 0) is not supported by the planner: of rows that have passed on to codes only sums of attention",
    ],
    [policy({ ...at("PrefillEnd", evict(position, rows(8))), layers: { _tag: "List", layers: [3] } }), "layers from -3 to 2"],
    [policy(at("PrefillEnd", evict({ _tag: "Column", name: "mass", initial: 0 }, rows(8)))), "mass"],
  ];
  for (const [p, sentence] of cases) assertStringIncludes(refusal(planPolicy(p, target())), sentence);
});

Deno.test("an op the backend lacks and a cache beyond its largest buffer are refused", () => {
  const evicting = policy(at("PrefillEnd", evict(position, rows(8))));
  assertStringIncludes(refusal(planPolicy(evicting, target({}, (op) => op !== "rank"))), "the op rank is not supported by the backend toy");
  assertStringIncludes(refusal(planPolicy(policy(), target({ promptTokens: 1e6 }))), "needed 16000000, available 1000000");
  assertStringIncludes(refusal(planPolicy(policy(), target({ promptTokens: 0 }))), 'argument promptTokens: found "0"');
});

Deno.test("a budget the prompt does not reach is planned: it may be reached while decoding", () => {
  assertEquals(refusal(planPolicy(policy(at("Step", evict(position, rows(500)))), target())), "planned");
});
