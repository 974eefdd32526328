/**
 * Random policies: planning is total, what it emits is well formed, and what is planned runs and leaves a sound cache.
 * @module
 */
import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import fc from "fast-check";
import { checkProgram } from "../backends/check.ts";
import { showError, uniformShape } from "../cache/mod.ts";
import { finish, planPolicy, type Target } from "../plan/mod.ts";
import { jointOps, pointsOf, splicedOps } from "../plan/describe.ts";
import type { Policy } from "../policy/mod.ts";
import { dispose, orThrow, read } from "../run/mod.ts";
import { fold } from "./fold_support.ts";
import { anyPolicy } from "./policy_arbitrary.ts";
import { onEveryBackend, sampleOf } from "./support.ts";

const target = (layers: number, promptTokens: number, over: Partial<Target> = {}): Target => ({
  shape: uniformShape({ layers, queryHeads: 4, kvHeads: 2, headDim: 4, context: 8192 }),
  backend: { name: "any", caps: { maxBufferBytes: 1e9, threads: 1, deterministic: true, alignment: 16 }, supports: () => true },
  promptTokens,
  chunk: 16,
  codec: { _tag: "Plain", dtype: "f32" },
  reconstructs: true,
  ...over,
});

Deno.test("planning any policy gives a sentence or a plan whose every splice is a well-formed program", () => {
  let planned = 0;
  fc.assert(
    fc.property(anyPolicy, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3000 }), (policy, layers, promptTokens) => {
      const made = planPolicy(policy, target(layers, promptTokens));
      if (E.isLeft(made)) return showError(made.left).length > 20;
      planned++;
      for (const point of pointsOf(made.right, 16)) {
        made.right.layers.forEach((_, l) => {
          const shape = target(layers, 1).shape.layers[l];
          if (shape === undefined) return;
          const checked = checkProgram(finish("splice")(splicedOps(made.right, shape, l, point)), {});
          assertEquals(E.isLeft(checked) ? showError(checked.left) : "well formed", "well formed");
        });
      }
      const joint = checkProgram(finish("joint")(jointOps(made.right, target(layers, 1).shape)), {});
      assertEquals(E.isLeft(joint) ? showError(joint.left) : "well formed", "well formed");
      return true;
    }),
    { numRuns: 2000 },
  );
  assertEquals(planned > 100, true); // else the property would say little
});

Deno.test("a plan is a function of its inputs: the same text every time", () => {
  fc.assert(
    fc.property(anyPolicy, (policy) => {
      const texts = [1, 2].map(() =>
        E.match(showError, (p: { readonly describe: string }) => p.describe)(planPolicy(policy, target(3, 500)))
      );
      return texts[0] === texts[1];
    }),
    { numRuns: 200 },
  );
});

/** Policies that can be planned for this target, as they come. */
const plannable = (of: Target): fc.Arbitrary<Policy> => anyPolicy.filter((p) => p.blocks.length > 0 && E.isRight(planPolicy(p, of)));

onEveryBackend("what is planned runs: rows ascend, bytes add up, the value stays well formed after every step", (memory) => {
  const sample = sampleOf(1, 2, 2, 4, 74, 11);
  const where = target(1, 70, { shape: sample.shape, backend: memory.backend });
  return fc.assert(
    fc.asyncProperty(plannable(where), async (policy) => {
      const plan = planPolicy(policy, where);
      if (E.isLeft(plan)) return;
      fc.pre(plan.right.layers.every((layer, l) => layer.readsFrom === l));
      const { cache } = await fold(memory, plan.right, sample, 70, 16);
      for (const head of (await orThrow(read(memory)(cache))).layers.flat()) {
        assertEquals([...head.positions], [...new Set(head.positions)].sort((a, b) => a - b));
      }
      await orThrow(dispose(memory)(cache));
      assertEquals(memory.backend.liveBytes().buffers, 0);
    }),
    { numRuns: 200 },
  );
});
