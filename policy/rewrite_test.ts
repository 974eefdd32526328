import { assertEquals } from "@std/assert";
import { h2o, knorm, pyramidKv, snapKv, tova } from "../papers/mod.ts";
import { above, percent, rows } from "./budget.ts";
import { append, layersFrom, prefillEnd } from "./moment.ts";
import { needs } from "./needs.ts";
import { afterPrefill, and, block, pipe, type Policy, policy } from "./mod.ts";
import { adaptive, at, decoding, everySteps, onLayers, protect, pyramid, streaming, withBudget } from "./rewrite.ts";
import { position } from "./score.ts";
import { encode, evict } from "./verb.ts";
import { build } from "./moment.ts";

const moments = (p: Policy) => p.blocks.map((b) => b.moment._tag);
const budgets = (p: Policy) => p.blocks.flatMap((b) => b.verbs).flatMap((v) => v._tag === "Evict" ? [v.budget] : []);

Deno.test("streaming moves the end of prefill to every chunk, and drops the step that this makes double", () => {
  assertEquals(moments(streaming(knorm({ rows: 9 }))), ["Append"]);
  assertEquals([moments(tova({ rows: 9 })), moments(streaming(tova({ rows: 9 })))], [["PrefillEnd", "Step"], ["Append"]]);
  assertEquals([moments(h2o({ rows: 9, recent: 1 })), moments(streaming(h2o({ rows: 9, recent: 1 })))], [["Append", "PrefillEnd", "Step"], [
    "Append",
    "Append",
  ]]);
});

Deno.test("streaming keeps a step that does something else", () => {
  const mixed = pipe(knorm({ rows: 9 }), and(at({ _tag: "Step" })(knorm({ rows: 5 }))), streaming);
  assertEquals(moments(mixed), ["Append", "Step"]);
});

Deno.test("decoding repeats the decision after every token, as the papers' own option does", () => {
  assertEquals(decoding(snapKv({ rows: 99 })).blocks, snapKv({ rows: 99, decode: true }).blocks);
  assertEquals(decoding(tova({ rows: 9 })), tova({ rows: 9 }));
});

Deno.test("everySteps thins out steps and leaves prefill alone", () => {
  assertEquals(everySteps(4)(tova({ rows: 9 })).blocks.map((b) => b.moment), [prefillEnd, { _tag: "Every", steps: 4 }]);
  assertEquals(everySteps(4)(knorm({ rows: 9 })), knorm({ rows: 9 }));
});

Deno.test("a pyramid takes its window from what the eviction protects, and leaves other budgets alone", () => {
  assertEquals(budgets(pyramidKv()(snapKv({ rows: 512, window: 8 }))), [{
    _tag: "Pyramid",
    mean: rows(512),
    window: 8,
    beta: 20,
    form: "steps",
  }]);
  assertEquals(budgets(pyramid(7)(protect({ sinks: 4, recent: percent(50) })(knorm({ rows: 9 })))), [{
    _tag: "Pyramid",
    mean: rows(9),
    window: 0,
    beta: 7,
    form: "steps",
  }]);
  const threshold = pipe(position, evict({ budget: above(3, 1) }), afterPrefill("threshold", false));
  assertEquals([pyramid(7)(threshold), adaptive(null)(threshold)], [threshold, threshold]);
});

Deno.test("rewrites leave verbs alone that they do not concern", () => {
  const half = policy("half", [block(build, [encode("f16", "f16")])]);
  for (
    const rewrite of [streaming, decoding, everySteps(3), withBudget(rows(3)), adaptive(null), pyramid(3), protect({ sinks: 1, recent: 1 })]
  ) {
    assertEquals(rewrite(half), half);
  }
});

Deno.test("text says which part a rewrite belongs to", () => {
  const both = pipe(knorm({ rows: 9 }), and(onLayers(layersFrom(2))(tova({ rows: 9 }))));
  assertEquals(both.text, "knorm(9)+tova(9)|layers(2..)");
  assertEquals(at(append)(both).text, "(knorm(9)+tova(9)|layers(2..))|at(append)");
  assertEquals(at(append)(both).blocks.map((b) => b.layers._tag), ["All", "Range", "Range"]);
});

Deno.test("policies name the ports they observe, and columns what fills them", () => {
  const ports = (p: Policy) => [...needs(p)].sort();
  assertEquals(ports(knorm({ rows: 9 })), ["keys"]);
  assertEquals(ports(tova({ rows: 9 })), ["keys", "queries"]);
  assertEquals(ports(h2o({ rows: 9 })), ["keys", "position", "queries"]);
  assertEquals(ports(policy("keepall", [])), []);
});
