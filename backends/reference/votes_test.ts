import { assertEquals } from "@std/assert";
import { blank, f32, operandsOf, u32 } from "../../tests/kernel_operands.ts";
import { groupVotes, softmax, tailLoss } from "./votes.ts";

const rounded = (xs: Float32Array, digits = 1e6): ReadonlyArray<number> => [...xs].map((x) => Math.round(x * digits) / digits + 0);

Deno.test("softmax: the last rows get nothing, and heads do not see each other", () => {
  const out = blank(5);
  softmax({ heads: 2, dropLast: 1 }, operandsOf({ a: f32(0, Math.log(3), 99, 7, 7), layout: u32(0, 3, 3, 3, 2, 2), out }));
  assertEquals(rounded(out), [0.25, 0.75, 0, 1, 0]);
});

Deno.test("groupVotes: the larger logit of two heads counts, before the softmax; queries without a position do not", () => {
  const out = blank(3);
  const keys = f32(1, 0, 0, 1, 5, 5);
  // Query 0: heads (ln 3, 0) and (0, ln 2), so the largest logits are ln 3 and ln 2. Query 1 is absent.
  const q = f32(Math.log(3), 0, 0, Math.log(2), 9, 9, 9, 9);
  groupVotes(
    { queries: 2, heads: 2, kvHeads: 1, keyDim: 2, keyCodec: "f32", scale: 1, dropLast: 1 },
    operandsOf({ q, keys, layout: u32(0, 3, 3), queryPosition: u32(2, 0xFFFFFFFF), out }),
  );
  assertEquals(rounded(out), [0.6, 0.4, 0]);
});

/** One head and one query that pays .5, .02, .03, .05, .1, .3: DBudgetKV's worked example. */
const losses = (scope: "candidates" | "all"): ReadonlyArray<number> => {
  const out = blank(6);
  tailLoss(
    { heads: 1, kvHeads: 1, keyDim: 1, keyCodec: "f32", scale: 1, window: 0, sinks: 1, scope },
    operandsOf({
      q: f32(1),
      keys: f32(...[0.5, 0.02, 0.03, 0.05, 0.1, 0.3].map(Math.log)),
      position: u32(0, 1, 2, 3, 4, 5),
      layout: u32(0, 6, 6),
      queryPosition: u32(5),
      lse: f32(0),
      out,
    }),
  );
  return rounded(out);
};

Deno.test("tailLoss: dropping one, two, three candidates loses .001929, .006282, .018475 of the norm, the sink apart", () => {
  assertEquals(losses("candidates").slice(0, 4), [0, 0.001929, 0.006282, 0.018475]);
});

Deno.test("tailLoss: with the sink in the norm, keeping 0; 0, 5; 0, 5, 4 loses .1594, .01970, .005385", () => {
  assertEquals(losses("all").slice(3).toReversed(), [0.159397, 0.019697, 0.005385]);
});
