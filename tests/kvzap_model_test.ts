/**
 * KVzap in a model: scores come from the hidden states by the networks that the model was opened with.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/mod.ts";
import {
  disposeSession,
  extend,
  type Model,
  openModel,
  prefill,
  readModelFile,
  readSafetensors,
  type Safetensors,
  step,
} from "../model/mod.ts";
import { planFor, type Session, tensorNumbers, type TensorToWrite, writeSafetensors } from "../model/mod.ts";
import { kvzap, type KvzapOptions } from "../papers/mod.ts";
import { pipe, type Policy, streaming } from "../policy/mod.ts";
import { compress, orThrow, read } from "../run/mod.ts";
import { randomBytes } from "./model_support.ts";
import { backends, cacheOf, onEveryBackend, sampleOf, tensorOf } from "./support.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

const file = await orThrow(readModelFile("tiny", tinyFile(tiny("llama"))));
const { hidden, layers } = file.spec.shape;
const [heads, inner] = [2, 8];
const prompt = randomBytes(5, 40);

const linear = layers.flatMap((
  _,
  l,
) => [tensorOf(`layers.${l}.weight`, [heads, hidden], 10 + l), tensorOf(`layers.${l}.bias`, [heads], 20 + l)]);
const mlp = layers.flatMap((_, l) => [
  ...[tensorOf(`layers.${l}.0.weight`, [inner, hidden], 30 + l), tensorOf(`layers.${l}.0.bias`, [inner], 40 + l)],
  ...[tensorOf(`layers.${l}.2.weight`, [heads, inner], 50 + l), tensorOf(`layers.${l}.2.bias`, [heads], 60 + l)],
]);
const written = async (tensors: ReadonlyArray<TensorToWrite>): Promise<Safetensors> =>
  await orThrow(readSafetensors("weights", await orThrow(writeSafetensors(tensors))));
const surrogates = { "kvzap-linear": await written(linear), "kvzap-mlp": await written(mlp) };

const everything = -Infinity;

/** One head of a layer: positions that stay, and the scores remembered with them. */
interface Seen {
  readonly positions: ReadonlyArray<number>;
  readonly scores: ReadonlyArray<number>;
}

async function seenIn(session: Session): Promise<ReadonlyArray<ReadonlyArray<Seen>>> {
  const { layers } = await orThrow(read(session.model.memory)(session.cache));
  return layers.map((of) => of.map((head) => ({ positions: [...head.positions], scores: [...head.columns["kvzap"] ?? []] })));
}

/** What stays after a prompt in chunks, more text, and decoded tokens. */
async function after(model: Model, how: Policy, chunk: number, read = prompt.length, text = 0) {
  let session = await orThrow(prefill(model, how, { chunk, codec: "f32" })(prompt.slice(0, read)));
  if (text > 0) session = await orThrow(extend(prompt.slice(read, read + text))(session));
  for (const token of prompt.slice(read + text)) session = await orThrow(step(token)(session));
  const seen = await seenIn(session);
  await orThrow(disposeSession(session));
  return seen;
}

const positionsOf = (seen: ReadonlyArray<ReadonlyArray<Seen>>) => seen.map((of) => of.map((head) => head.positions));

/** A threshold in the middle of the widest gap between scores of the middle half, so that rounding decides nothing. */
function between(seen: ReadonlyArray<ReadonlyArray<Seen>>): { readonly threshold: number; readonly gap: number } {
  const sorted = seen.flat().flatMap((head) => head.scores).toSorted((a, b) => a - b);
  const middle = sorted.slice(Math.floor(sorted.length / 4), Math.floor(3 * sorted.length / 4));
  const gaps = middle.slice(1).map((s, i) => ({ threshold: (s + (middle[i] ?? 0)) / 2, gap: s - (middle[i] ?? 0) }));
  return gaps.reduce((a, b) => b.gap > a.gap ? b : a);
}

function onEveryModel(name: string, body: (model: Model) => Promise<void>): void {
  onEveryBackend(name, async ({ backend }) => {
    const before = backend.liveBytes().weights;
    {
      await using model = await orThrow(openModel(backend, file, { surrogates }));
      await body(model);
    }
    assertEquals(backend.liveBytes().weights, before, "weights of the networks go with the model");
  });
}

/** x times the normal distribution at x, by Simpson's rule over its density. */
function gelu(x: number): number {
  const [steps, from] = [4000, -12];
  const width = (x - from) / steps;
  const density = (t: number) => Math.exp(-t * t / 2) / Math.sqrt(2 * Math.PI);
  let total = density(from) + density(x);
  for (let i = 1; i < steps; i++) total += (i % 2 === 0 ? 2 : 4) * density(from + i * width);
  return x * total * width / 3;
}

/** The normed embedding of a token: what enters the attention of layer 0. */
function hiddenOf(token: number): ReadonlyArray<number> {
  const numbersOf = (name: string) => {
    const { bytes } = file.tensors.get(name) ?? { bytes: new Uint8Array() };
    return tensorNumbers({ name, type: "F32", shape: [], bytes });
  };
  const x = [...numbersOf("token_embd.weight").subarray(token * hidden, (token + 1) * hidden)];
  const scale = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / hidden + file.spec.normEps);
  const weight = numbersOf("blk.0.attn_norm.weight");
  return x.map((v, i) => v * scale * (weight[i] ?? NaN));
}

const affine = (w: TensorToWrite | undefined, b: TensorToWrite | undefined, x: ReadonlyArray<number>): ReadonlyArray<number> =>
  [...b?.numbers ?? []].map((bias, o) => x.reduce((sum, v, i) => sum + v * (w?.numbers[o * x.length + i] ?? NaN), bias));

onEveryModel("scores of layer 0 are what the formulas give for the normed embedding, for both networks and any chunk", async (model) => {
  for (const scorer of ["linear", "mlp"] as const) {
    for (const chunk of [1, 7, 64]) {
      const [first = []] = await after(model, kvzap({ threshold: everything, scorer, window: 4 }), chunk, 30, 5);
      for (const [h, head] of first.entries()) {
        assertEquals(head.positions, prompt.map((_, t) => t));
        for (const [t, score] of head.scores.entries()) {
          const x = hiddenOf(prompt[t] ?? 0);
          const expected = scorer === "linear"
            ? affine(linear[0], linear[1], x)
            : affine(mlp[2], mlp[3], affine(mlp[0], mlp[1], x).map(gelu));
          // f32 sums of 64 and 8 products of order 1.
          assert(Math.abs(score - (expected[h] ?? NaN)) < 1e-4, `${scorer}, row ${t}: ${score}, expected ${expected[h]}`);
        }
      }
    }
  }
});

onEveryBackend("weights in bf16, as the published ones are, score as the same numbers in f32", async ({ backend }) => {
  const cut = (upper: boolean) => (file: Safetensors): Safetensors => ({
    ...file,
    tensors: new Map([...file.tensors].map(([name, tensor]) => {
      const halves = Uint16Array.from(new Uint32Array(tensorNumbers(tensor).buffer), (bits) => bits >>> 16);
      const whole = Uint32Array.from(halves, (half) => half << 16);
      return [name, { ...tensor, type: upper ? "BF16" : "F32", bytes: new Uint8Array((upper ? halves : whole).buffer) }] as const;
    })),
  });
  const scores = async (upper: boolean, scorer: "linear" | "mlp") => {
    const files = { "kvzap-linear": cut(upper)(surrogates["kvzap-linear"]), "kvzap-mlp": cut(upper)(surrogates["kvzap-mlp"]) };
    await using model = await orThrow(openModel(backend, file, { surrogates: files }));
    return (await after(model, kvzap({ threshold: everything, scorer }), 64)).flat().flatMap((head) => head.scores);
  };
  for (const scorer of ["linear", "mlp"] as const) {
    const [half, whole] = [await scores(true, scorer), await scores(false, scorer)];
    // A backend may widen bf16 before or while it multiplies: f32 sums of 64 products in another order.
    assert(half.length > 0 && half.every((x, i) => Math.abs(x - (whole[i] ?? NaN)) < 1e-4), scorer);
  }
});

onEveryModel("dense prefill: any chunk keeps the rows outside the window that score at least the threshold", async (model) => {
  const options: Partial<KvzapOptions> = { window: 6, sinks: 0, prefill: "dense", decode: false };
  const all = await after(model, kvzap({ ...options, threshold: everything }), 64);
  const { threshold, gap } = between(all);
  // Scores differ by rounding between chunks, far less than this.
  assert(gap > 1e-3, `${gap}`);
  const kept = all.map((of) => of.map(({ scores }) => scores.flatMap((s, t) => t >= prompt.length - 6 || s >= threshold ? [t] : [])));
  for (const chunk of [1, 7, 13, 64]) assertEquals(positionsOf(await after(model, kvzap({ ...options, threshold }), chunk)), kept);
  const dropped = kept.flat().map((head) => prompt.length - head.length);
  assert(dropped.some((n) => n > 0) && dropped.some((n) => n < prompt.length - 6), `${dropped}`);
});

onEveryModel("decode=yes goes on deciding, decode=no keeps what the prompt left and all that follows", async (model) => {
  const { threshold } = between(await after(model, kvzap({ threshold: everything }), 64));
  const counts = async (options: Partial<KvzapOptions>, chunk = 64) =>
    positionsOf(await after(model, kvzap({ threshold, window: 4, ...options }), chunk, 20)).flat().map((p) =>
      p.filter((t) => t >= 16).length
    );
  // Of 40 tokens, 20 are decoded: positions from 16 were in the window or came later.
  for (const mode of ["dense", "streaming"] as const) {
    assertEquals(new Set(await counts({ prefill: mode, decode: false })), new Set([24]));
    assert((await counts({ prefill: mode, decode: true })).some((n) => n < 24));
  }
});

onEveryModel("layer 0 decides alike however it reads, because its hidden states are embeddings", async (model) => {
  const { threshold } = between(await after(model, kvzap({ threshold: everything }), 64));
  const how = kvzap({ threshold, window: 5, sinks: 1 });
  const whole = positionsOf(await after(model, how, 64))[0];
  for (const [chunk, read, text] of [[1, 40, 0], [9, 40, 0], [9, 17, 8], [4, 1, 0]] as const) {
    assertEquals(positionsOf(await after(model, how, chunk, read, text))[0], whole);
  }
});

Deno.test("streaming prefill keeps the same rows on every backend", async () => {
  const all: unknown[] = [];
  let threshold = NaN;
  for (const { open } of backends) {
    await using backend = await open();
    await using model = await orThrow(openModel(backend, file, { surrogates }));
    if (Number.isNaN(threshold)) threshold = between(await after(model, kvzap({ threshold: everything }), 8)).threshold;
    all.push(positionsOf(await after(model, kvzap({ threshold, window: 6 }), 8, 32)));
  }
  for (const one of all) assertEquals(one, all[0]);
});

Deno.test("kvzap(-4, prefill=dense)|streaming leaves rows as streaming prefill does", async () => {
  const [{ open } = { open: () => Promise.reject() }] = backends;
  await using backend = await open();
  await using model = await orThrow(openModel(backend, file, { surrogates }));
  const { threshold } = between(await after(model, kvzap({ threshold: everything }), 8));
  const dense = kvzap({ threshold, window: 6, prefill: "dense" });
  assertEquals(await after(model, pipe(dense, streaming), 8, 32), await after(model, kvzap({ threshold, window: 6 }), 8, 32));
});

onEveryBackend("without weights, with those of another model, or without a model: one sentence", async (memory) => {
  const { backend } = memory;
  {
    await using model = await orThrow(openModel(backend, file));
    const refused = planFor(model, kvzap(), 10);
    assertEquals(
      E.isLeft(refused) && showError(refused.left),
      'the network "kvzap-mlp" that blocks[0].verbs[0] scores with is not available: ' +
        "the model was opened without its weights; give them as surrogates, on the command line by --surrogate",
    );
  }
  const wrong = await openModel(backend, file, { surrogates: { "kvzap-mlp": await written(mlp.slice(0, 4)) } })();
  assertStringIncludes(E.isLeft(wrong) ? showError(wrong.left) : "", "file weights: tensor layers.1.weight: found no such tensor");
  const cache = await cacheOf(memory, sampleOf(1, 1, 1, 2, 9, 3));
  const foreign = await compress(memory, kvzap())(cache)();
  assertEquals(
    E.isLeft(foreign) && showError(foreign.left),
    'kvzap(-4) observes the port "hidden", which this host does not supply',
  );
});
