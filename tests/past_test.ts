/**
 * Caches of other runtimes, pruned and given back: what comes out are rows that went in.
 * @module
 */
import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { keepAll, keyDiff, knorm, parsePolicy, snapKv } from "../papers/mod.ts";
import { openMemory, orThrow, type PastKeyValues, type PastOptions, type PastTensor, prunePast, stepInputs } from "../run/mod.ts";
import { openReference } from "../backends/reference/mod.ts";
import type { Policy } from "../policy/types.ts";
import { numbers } from "./support.ts";

const [batch, heads, length, dim] = [3, 2, 24, 4];
const dims = [batch, heads, length, dim];
const count = batch * heads * length * dim;
const tensor = (seed: number): PastTensor => ({ dims, data: numbers(seed, count) });
const pairs = (layers: ReadonlyArray<number>, of: (seed: number) => PastTensor): PastKeyValues =>
  Object.fromEntries(layers.flatMap((l) => [[`past_key_values.${l}.key`, of(l)], [`past_key_values.${l}.value`, of(l + 50)]]));
const past = pairs([0, 1], tensor);

async function prune(policy: Policy, given: PastKeyValues = past, options: PastOptions = {}) {
  await using backend = await orThrow(openReference());
  using memory = openMemory(backend);
  const pruned = await prunePast(memory, policy)(given, options)();
  assertEquals(backend.liveBytes().buffers, 0);
  return pruned;
}

/** Sequence `b` of every tensor, alone. */
const alone = (given: PastKeyValues, b: number): PastKeyValues =>
  Object.fromEntries(
    Object.entries(given).map(([name, { dims: [, ...rest], data }]) => {
      const size = rest.reduce((product, d) => product * d, 1);
      return [name, { dims: [1, ...rest], data: data.slice(b * size, (b + 1) * size) }];
    }),
  );

Deno.test("a policy that keeps everything gives the same numbers back, f32 and f16 alike", async () => {
  const half = pairs([0, 1], (seed) => ({ dims, data: Float16Array.from(numbers(seed, count)) }));
  for (const given of [past, half]) {
    const { tensors, kept } = await orThrow(await prune(keepAll, given));
    assertEquals([tensors, kept], [given, length]);
  }
});

Deno.test("each row of a pruned tensor is the row of its position, behind padding of zeros", async () => {
  const { tensors, kept, positions, headMasks } = await orThrow(await prune(await orThrow(parsePolicy("knorm(8)|ada(20%)"))));
  for (const [name, { data }] of Object.entries(tensors)) {
    const source = past[name]?.data ?? new Float32Array();
    const layer = Number(name.split(".")[1]);
    positions.forEach((layers, b) =>
      layers[layer]?.forEach((rows, h) => {
        const line = b * heads + h;
        const expected = [...rows].flatMap((p) => [...source.subarray((line * length + p) * dim, (line * length + p + 1) * dim)]);
        const padding = new Array<number>((kept - rows.length) * dim).fill(0);
        assertEquals([...data.subarray(line * kept * dim, (line + 1) * kept * dim)], [...padding, ...expected]);
        const mask = [...headMasks[layer]?.data.subarray(line * kept, (line + 1) * kept) ?? []];
        assertEquals(mask, Array.from({ length: kept }, (_, i) => i < kept - rows.length ? 0 : 1));
      })
    );
  }
});

Deno.test("a batch is pruned sequence by sequence, each as it would be alone", async () => {
  const policy = keyDiff({ rows: 7 });
  const together = await orThrow(await prune(policy));
  for (let b = 0; b < batch; b++) {
    const single = await orThrow(await prune(policy, alone(past, b)));
    assertEquals([alone(together.tensors, b), together.positions[b]], [single.tensors, single.positions[0]]);
  }
});

Deno.test("padding is no row: positions count tokens, and the next step's mask hides it", async () => {
  const data = Array.from({ length: batch * length }, (_, i) => i >= length && i < length + 20 ? 0n : 1n);
  const pruned = await orThrow(await prune(knorm({ rows: 6 }), past, { attentionMask: { dims: [batch, length], data } }));
  assertEquals([pruned.nextPositions, pruned.kept, pruned.positions[1]?.[0]?.[0]?.length], [[24, 4, 24], 6, 4]);
  const { attention_mask, position_ids } = await orThrow(stepInputs(pruned, 2));
  assertEquals([...attention_mask.data.subarray(8, 16)].map(Number), [0, 0, 1, 1, 1, 1, 1, 1]);
  assertEquals([attention_mask.dims, [...position_ids.data].map(Number)], [[3, 8], [24, 25, 4, 5, 24, 25]]);
});

Deno.test("tensors that are no pair go through, and layer numbers need not be consecutive", async () => {
  const state = { dims: [3, 5], data: new Float32Array(15) };
  const { tensors, headMasks } = await orThrow(await prune(knorm({ rows: 5 }), { "past_conv.0": state, ...pairs([12, 3], tensor) }));
  assertEquals(tensors["past_conv.0"], state);
  assertEquals([Object.keys(headMasks), tensors["past_key_values.12.value"]?.dims], [["3", "12"], [batch, heads, 5, dim]]);
});

Deno.test("what does not fit is one sentence that names the tensor", async () => {
  const refused = async (given: PastKeyValues, options: PastOptions = {}, policy: Policy = keepAll): Promise<string> => {
    const result = await prune(policy, given, options);
    return E.isLeft(result) ? showError(result.left) : "pruned";
  };
  const key = "past_key_values.0.key";
  assertEquals(await refused({}), "past_key_values: expected at least one pair past_key_values.{layer}.key and .value, found none");
  assertEquals(await refused({ [key]: tensor(1) }), "past_key_values.0.value: expected a tensor, found none");
  const short = { ...past, [key]: { dims, data: new Float32Array(5) } };
  assertEquals(await refused(short), "past_key_values.0.key: expected 3 x 2 x 24 x 4 numbers, found 5");
  const flat = { ...past, [key]: { dims: [count], data: new Float32Array(count) } };
  assertEquals(await refused(flat), "past_key_values.0.key.dims: expected batch x kvHeads x length x dim, found 576");
  const longer = { ...past, "past_key_values.1.key": { dims: [3, 2, 25, 4], data: new Float32Array(600) } };
  assertEquals(await refused(longer), "past_key_values.1.key.dims: expected 3 x 2 x 24 x dim, as the other tensors, found 3 x 2 x 25 x 4");
  const mask = { dims: [3, 23], data: new Uint8Array(69) };
  assertEquals(await refused(past, { attentionMask: mask }), "attentionMask: expected 3 x 24, found 3 x 23 with 69 numbers");
  assertEquals(await refused(past, { queryHeads: 3 }), 'argument queryHeads: found "3", allowed is a multiple of the 2 heads of layer 0');
  assertEquals(
    await refused(past, {}, snapKv({ rows: 8, window: 4 })),
    'snapkv(8, window=4) observes the port "queries", which this host does not supply',
  );
});
