import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { above, budgetPerLayer, percent, pyramidal, ratio, rows, share } from "./budget.ts";
import { allLayers, append, build, chunk, every, layerList, layerRange, onExit, prefillEnd, step } from "./moment.ts";
import { block, policy } from "./policy.ts";
import { column, constant, lastQueries, learned, pool, position } from "./score.ts";
import { attention, neg, pipe, type Score } from "./mod.ts";
import type { Block, Budget, Layers, Moment, Verb } from "./types.ts";
import { type Limits, validatePolicy } from "./validate.ts";
import { admit, encode, encodeBelow, evict, readFrom, remember, scoreAs, select } from "./verb.ts";

/** Path of the first fault, or "valid". */
const fault = (blocks: ReadonlyArray<Block>, limits: Limits = {}): string => {
  const result = validatePolicy(policy("test", blocks), limits);
  return E.isRight(result) ? "valid" : result.left._tag === "InvalidPolicy" ? result.left.path.replace("blocks[0].", "") : result.left._tag;
};
const evicting = (budget: Budget, limits: Limits = {}) => fault([block(prefillEnd, [evict({ budget })(position)])], limits);
const scoring = (score: Score) => fault([block(prefillEnd, [evict({ budget: rows(9) })(score)])]);
const during = (moment: Moment, verb: Verb) => fault([block(moment, [verb])]);
const where = (layers: Layers, limits: Limits = {}) => fault([block(prefillEnd, [evict({ budget: rows(9) })(position)], layers)], limits);

Deno.test("budgets are whole rows from 1, shares in (0, 1], one per layer, pyramids above their window", () => {
  assertEquals([rows(1), rows(0), rows(-1), rows(1.5), rows(NaN), rows(2 ** 24 + 1)].map((b) => evicting(b)), [
    "valid",
    ...Array.from({ length: 5 }, () => "verbs[0].budget.rows"),
  ]);
  const shares = [percent(100), ratio(1, 3), ratio(0, 1), ratio(3, 2), ratio(1, 0), ratio(0.5, 1)];
  assertEquals(shares.map((s) => evicting(share(s))), ["valid", "valid", ...Array.from({ length: 4 }, () => "verbs[0].budget.share")]);
  assertEquals(evicting(budgetPerLayer([rows(1), share(percent(5)), above(0, 0)])), "valid");
  assertEquals(evicting(budgetPerLayer([])), "verbs[0].budget.budgets");
  assertEquals(evicting(budgetPerLayer([rows(1)]), { layers: 2 }), "verbs[0].budget.budgets");
  assertEquals(evicting(budgetPerLayer([budgetPerLayer([rows(1)])])), "verbs[0].budget.budgets[0]");
  const around = (mean: Budget, window: number, beta: number, limits: Limits = {}) => evicting(pyramidal({ window, beta })(mean), limits);
  assertEquals([around(rows(9), 8, 1), around(rows(9), 9, 1)], ["valid", "verbs[0].budget.window"]);
  assertEquals([around(rows(9), 8, 0.5), around(above(0, 0), 8, 1)], ["verbs[0].budget.beta", "verbs[0].budget.mean"]);
  assertEquals(around(share(percent(10)), 8, 1, { promptTokens: 80 }), "verbs[0].budget.window");
  assertEquals([evicting(above(Infinity, 0)), evicting(above(0, -1))], ["verbs[0].budget.value", "verbs[0].budget.floor"]);
});

Deno.test("protected rows fit into the budget, as soon as it is known", () => {
  const held = (budget: Budget, sinks: number, recent: number, limits: Limits = {}) =>
    fault([block(prefillEnd, [evict({ budget, protect: { sinks, recent } })(position)])], limits);
  assertEquals([held(rows(9), 4, 5), held(rows(9), 4, 6), held(rows(9), -1, 0), held(rows(9), 0, 0.5)], [
    "valid",
    "verbs[0].protect",
    "verbs[0].protect.sinks",
    "verbs[0].protect.recent",
  ]);
  assertEquals([held(share(percent(10)), 4, 5), held(share(percent(10)), 4, 5, { promptTokens: 80 })], ["valid", "verbs[0].protect"]);
  assertEquals(held(budgetPerLayer([rows(9), rows(8)]), 4, 5), "verbs[0].protect");
  const half = fault([block(prefillEnd, [evict({ budget: rows(3), protect: { sinks: 2, recent: ratio(1, 2) } })(position)])]);
  const all = fault([block(prefillEnd, [evict({ budget: rows(3), protect: { sinks: 1, recent: ratio(1, 1) } })(position)])]);
  assertEquals([half, all], ["valid", "verbs[0].protect"]);
});

Deno.test("a floor needs heads that compete, and competition needs a total", () => {
  const competing = (options: Parameters<typeof evict>[0]) => fault([block(prefillEnd, [evict(options)(position)])]);
  assertEquals(competing({ budget: rows(9), across: "layer", floor: percent(20) }), "valid");
  assertEquals(competing({ budget: rows(9), floor: percent(20) }), "verbs[0].floor");
  assertEquals(competing({ budget: rows(9), across: "layer", floor: ratio(2, 1) }), "verbs[0].floor");
  assertEquals(competing({ budget: above(0, 1), across: "layer" }), "verbs[0].across");
});

Deno.test("scores have finite numbers, odd kernels, bounded depth and size", () => {
  assertEquals([scoring(constant(1)), scoring(constant(NaN))], ["valid", "verbs[0].score(Constant).value"]);
  const pooled = (size: number, dropLast: number) => scoring(pool({ by: "max", size, dropLast })(position));
  assertEquals([pooled(7, 0), pooled(6, 0), pooled(0, 0), pooled(7, -1)], [
    "valid",
    "verbs[0].score(Pool).size",
    "verbs[0].score(Pool).size",
    "verbs[0].score(Pool).dropLast",
  ]);
  assertEquals(scoring(attention(lastQueries(0), "sum", "mean")), "verbs[0].score(Attention).queries.count");
  const nested = (n: number) => Array.from({ length: n }).reduce((s: Score) => neg(s), position);
  assertEquals([scoring(nested(31)), scoring(nested(32)), scoring(nested(10_000))], ["valid", "verbs[0].score", "verbs[0].score"]);
  const doubled = Array.from({ length: 40 }).reduce((s: Score): Score => ({ _tag: "Binary", fn: "add", left: s, right: s }), position);
  assertEquals(scoring(doubled), "verbs[0].score");
});

Deno.test("columns are remembered under safe names before scores read them, with one initial value", () => {
  const mass = remember({ name: "mass", by: "sum" })(constant(1));
  const reader = evict({ budget: rows(9) })(column("mass"));
  assertEquals(fault([block(append, [mass]), block(step, [reader])]), "valid");
  assertEquals(fault([block(step, [reader])]), "verbs[0].score(Column).name");
  assertEquals(fault([block(step, [scoreAs("mass")(position), reader])]), "valid");
  assertEquals(fault([block(step, [reader, scoreAs("mass")(position)])]), "verbs[0].score(Column).name");
  assertEquals(
    fault([block(append, [mass]), block(step, [evict({ budget: rows(9) })(column("mass", 1))])]),
    "blocks[1].verbs[0].score(Column).initial",
  );
  assertEquals(fault([block(append, [mass, remember({ name: "mass", by: "sum", initial: 2 })(constant(1))])]), "columns.mass.initial");
  for (const name of ["", "Mass", "a b", "x".repeat(33), "constructor", "toString"]) {
    assertEquals(fault([block(append, [remember({ name, by: "set" })(position)])]), "verbs[0].name");
  }
});

Deno.test("verbs stand at moments where they mean something", () => {
  const gone = evict({ budget: rows(9) })(position);
  assertEquals([prefillEnd, append, step, every(3), onExit(8)].map((m) => during(m, gone)), Array.from({ length: 5 }, () => "valid"));
  assertEquals(during(build, gone), "verbs[0].moment");
  assertEquals([during(build, encode("f16", "f16")), during(onExit(2), encode("f16", "f16"))], ["valid", "verbs[0].moment"]);
  assertEquals([during(append, admit(0)(position)), during(step, admit(0)(position))], ["valid", "verbs[0].moment"]);
  assertEquals([during(step, select(rows(9))(position)), during(prefillEnd, select(rows(9))(position))], ["valid", "verbs[0].moment"]);
  assertEquals([during(every(0), gone), during(onExit(1.5), gone)], ["moment.steps", "moment.window"]);
});

Deno.test("layers exist, and a layer reads rows of an earlier one only", () => {
  assertEquals(
    [where(allLayers), where(layerRange(2, 4)), where(layerRange(-3, -1)), where(layerRange(2, -2))],
    Array.from({ length: 4 }, () => "valid"),
  );
  assertEquals([where(layerRange(4, 4)), where(layerRange(-1, -3)), where(layerRange(0.5, 4))], ["layers", "layers", "layers.from"]);
  assertEquals([where(layerList([])), where(layerList([0, NaN])), where(layerList([7]), { layers: 7 })], [
    "layers.layers",
    "layers.layers[1]",
    "layers.layers[0]",
  ]);
  assertEquals(where(layerRange(7, 9), { layers: 7 }), "layers.from");
  const reads = (from: number, layers: Layers) => fault([block(build, [readFrom(from)], layers)]);
  assertEquals([reads(0, layerRange(1, 3)), reads(1, layerRange(1, 3)), reads(3, layerList([5, 2]))], [
    "valid",
    "verbs[0].from",
    "verbs[0].from",
  ]);
});

Deno.test("a block has verbs, a policy has a text that a terminal can show", () => {
  assertEquals(fault([block(step, [])]), "verbs");
  assertEquals([pipe(validatePolicy(policy("", [])), E.isLeft), pipe(validatePolicy(policy("a\u001b[2J", [])), E.isLeft)], [true, true]);
});

Deno.test("a learned score stands alone where a run has hidden states: it cannot weigh rows that are there already", () => {
  const gate = learned("kvzap-mlp");
  const set = remember({ name: "gate", by: "set" });
  assertEquals([during(append, set(gate)), during(chunk, set(gate)), during(onExit(4), admit(-4)(gate))], ["valid", "valid", "valid"]);
  assertEquals(
    [during(append, set(neg(gate))), during(append, remember({ name: "gate", by: "sum" })(gate))],
    Array(2).fill("verbs[0].score(Learned)"),
  );
  assertEquals(
    [during(append, evict({ budget: above(0, 0) })(gate)), during(append, scoreAs("gate")(gate))],
    Array(2).fill("verbs[0].score(Learned)"),
  );
  assertEquals(
    during(append, encodeBelow({ keys: "q8", values: "q4" }, { value: 0, recent: 8 })(gate)),
    "verbs[0].below.score(Learned)",
  );
  assertEquals(during(prefillEnd, set(gate)), "verbs[0].moment");
  assertEquals(during(append, set(learned("No name"))), "verbs[0].score(Learned).name");
  assertEquals([during(onExit(4), admit(NaN)(gate)), during(onExit(4), admit(1e39)(gate))], ["verbs[0].threshold", "verbs[0].threshold"]);
  assertEquals(during(onExit(4), admit(0, -1)(gate)), "verbs[0].sinks");
});
