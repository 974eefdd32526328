/**
 * Folding the tokens of a sample through a plan: prefill in chunks, the end of prefill, then one token at a time.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { bytesOf, checkCache, type KvCache, showError } from "../cache/mod.ts";
import { planPolicy, type PolicyPlan, type SplicePoint } from "../plan/mod.ts";
import type { Policy } from "../policy/mod.ts";
import { apply, type Memory, openCache, orThrow, shrink, type Tokens } from "../run/mod.ts";
import type { Sample } from "./support.ts";

/** Tokens [from, to) of a sample. */
export function tokensOf({ dense, shape, queries, tokens }: Sample, from: number, to: number): Tokens {
  return {
    count: to - from,
    tokenClass: Array.from({ length: to - from }, (_, i) => (from + i) % 3),
    layers: shape.layers.map(({ kvHeads, queryHeads, keyDim }, l) => {
      const cut = (x: Float32Array): Float32Array =>
        Float32Array.from(
          Array.from({ length: kvHeads }, (_, h) => [...x.subarray((h * tokens + from) * keyDim, (h * tokens + to) * keyDim)]).flat(),
        );
      const [rows, q] = [dense.layers[l], queries[l] ?? new Float32Array()];
      return {
        queries: q.slice(from * queryHeads * keyDim, to * queryHeads * keyDim),
        rows: rows === undefined ? null : { keys: cut(rows.keys), values: cut(rows.values) },
      };
    }),
  };
}

/** The plan of a policy for a sample, f32 rows. */
export function planOf(memory: Memory, policy: Policy, sample: Sample, promptTokens: number, chunk: number): PolicyPlan {
  const plan = planPolicy(policy, {
    shape: sample.shape,
    backend: memory.backend,
    promptTokens,
    chunk,
    codec: { _tag: "Plain", dtype: "f32" },
  });
  if (E.isLeft(plan)) throw new Error(showError(plan.left));
  return plan.right;
}

/** A fold over a whole sample. */
export interface Folded {
  readonly cache: KvCache;
  /** Attention of every token, per layer. */
  readonly attended: ReadonlyArray<ReadonlyArray<Float32Array>>;
}

/** Layers that read another's rows bring none of their own. */
const asPlanned = (plan: PolicyPlan, tokens: Tokens): Tokens => ({
  ...tokens,
  layers: tokens.layers.map((layer, l) => plan.layers[l]?.readsFrom === l ? layer : { ...layer, rows: null }),
});

/** Prefills `prompt` tokens in chunks, then decodes the others one by one. */
export async function fold(memory: Memory, plan: PolicyPlan, sample: Sample, prompt: number, chunk: number): Promise<Folded> {
  let cache = await orThrow(openCache(memory, plan, sample.shape));
  const attended: (ReadonlyArray<Float32Array>)[] = [];
  const step = async (point: SplicePoint, from: number, to: number): Promise<void> => {
    const next = await orThrow(apply(memory, plan, point)(cache, to > from ? asPlanned(plan, tokensOf(sample, from, to)) : null));
    cache = next.cache;
    if (to > from) attended.push(next.attended);
    const [counted, held] = [bytesOf(cache).total, memory.backend.liveBytes().buffers];
    // WebGPU holds every buffer in whole steps of its alignment, which are larger than small buffers.
    assert(memory.backend.name === "webgpu" ? counted <= held : counted === held, `${counted} bytes are counted, ${held} held`);
    assertEquals(checkCache(cache)._tag, "Right");
  };
  for (let from = 0; from < prompt; from += chunk) {
    const to = Math.min(prompt, from + chunk);
    await step({ _tag: "AfterChunk", m: to - from }, from, to);
  }
  await step({ _tag: "PrefillEnd" }, prompt, prompt);
  cache = await orThrow(shrink(memory)(cache));
  for (let t = prompt; t < sample.tokens; t++) await step({ _tag: "AfterStep", every: [] }, t, t + 1);
  return { cache, attended };
}
