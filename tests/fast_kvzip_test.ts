/**
 * Fast KVzip in a model: gates of the published layout against the formula, and the cut that follows.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/mod.ts";
import { disposeSession, openModel, planFor, prefill, readModelFile, readSafetensors, surrogateName } from "../model/mod.ts";
import { tensorNumbers, type TensorToWrite, writeSafetensors } from "../model/mod.ts";
import { fastKvzip } from "../papers/mod.ts";
import { orThrow, read } from "../run/mod.ts";
import { randomBytes } from "./model_support.ts";
import { onEveryBackend, tensorOf } from "./support.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

const file = await orThrow(readModelFile("tiny", tinyFile(tiny("llama"))));
const { hidden, layers } = file.spec.shape;
const { queryHeads = 1, kvHeads = 1 } = layers[0] ?? {};
const [group, dim, sinks] = [queryHeads / kvHeads, 16, 5];
const prompt = randomBytes(5, 40);

const gates = layers.flatMap((_, l) => [
  tensorOf(`layers.${l}.q_proj.weight`, [queryHeads * dim, hidden], 100 + l),
  tensorOf(`layers.${l}.q_proj.bias`, [queryHeads * dim], 110 + l),
  tensorOf(`layers.${l}.k_proj.weight`, [kvHeads * dim, hidden], 120 + l),
  tensorOf(`layers.${l}.q_norm.weight`, [dim], 130 + l),
  tensorOf(`layers.${l}.k_norm.weight`, [dim], 140 + l),
  tensorOf(`layers.${l}.k_base`, [kvHeads, 1, sinks, dim], 150 + l),
  tensorOf(`layers.${l}.b`, [kvHeads, 1, group], 160 + l),
]);
const written = async (tensors: ReadonlyArray<TensorToWrite>) =>
  await orThrow(readSafetensors("gate", await orThrow(writeSafetensors(tensors))));

const of = (part: string): Float32Array => gates.find(({ name }) => name === `layers.0.${part}`)?.numbers ?? new Float32Array();
const rmsNorm = (x: ReadonlyArray<number>, w: Float32Array): ReadonlyArray<number> => {
  const scale = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + 1e-6);
  return x.map((v, i) => v * scale * (w[i] ?? NaN));
};
const dot = (a: ReadonlyArray<number>, b: ArrayLike<number>, at = 0): number => a.reduce((sum, v, i) => sum + v * (b[at + i] ?? NaN), 0);

/** The normed embedding of a token: what enters the attention of layer 0. */
function hiddenOf(token: number): ReadonlyArray<number> {
  const stored = (name: string) =>
    tensorNumbers({ name, type: "F32", shape: [], bytes: file.tensors.get(name)?.bytes ?? new Uint8Array() });
  const x = [...stored("token_embd.weight").subarray(token * hidden, (token + 1) * hidden)];
  const scale = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / hidden + file.spec.normEps);
  return x.map((v, i) => v * scale * (stored("blk.0.attn_norm.weight")[i] ?? NaN));
}

/** mean over g of 1 / (1 + sum over r of exp(z0 - z)). */
function gateOf(h: number, x: ReadonlyArray<number>): number {
  const project = (part: "q" | "k", head: number): ReadonlyArray<number> =>
    rmsNorm(
      Array.from({ length: dim }, (_, c) =>
        dot(x, of(`${part}_proj.weight`), (head * dim + c) * hidden) + (part === "q" ? of("q_proj.bias")[head * dim + c] ?? NaN : 0)),
      of(`${part}_norm.weight`),
    );
  const key = project("k", h);
  const each = Array.from({ length: group }, (_, g) => {
    const q = project("q", h * group + g);
    const z = dot(q, key) / Math.sqrt(dim) + (of("b")[h * group + g] ?? NaN);
    const lost = Array.from({ length: sinks }, (_, r) => Math.exp(dot(q, of("k_base"), (h * sinks + r) * dim) / Math.sqrt(dim) - z));
    return 1 / (1 + lost.reduce((a, b) => a + b, 0));
  });
  return each.reduce((a, b) => a + b, 0) / group;
}

onEveryBackend("gates of layer 0 are what the formula gives, and the widest of the model stay", async ({ backend }) => {
  await using model = await orThrow(openModel(backend, file, { surrogates: { fastkvzip: await written(gates) } }));
  const seen = async (rows: number) => {
    const session = await orThrow(prefill(model, fastKvzip({ rows, sinks: 1, window: 2 }), { codec: "f32", chunk: 7 })(prompt));
    const { layers } = await orThrow(read(model.memory)(session.cache));
    await orThrow(disposeSession(session));
    return layers;
  };
  const whole = await seen(prompt.length);
  for (const [h, head] of (whole[0] ?? []).entries()) {
    for (const [t, gate] of [...head.columns["fastkvzip"] ?? []].entries()) {
      const expected = gateOf(h, hiddenOf(prompt[t] ?? 0));
      // f32 sums of `hidden` products of order 1, and an exponential of them.
      assert(Math.abs(gate - expected) < 1e-4, `head ${h}, row ${t}: ${gate}, expected ${expected}`);
    }
  }
  const all = whole.flat().flatMap((head, h) =>
    [...head.columns["fastkvzip"] ?? []].map((gate, t) => ({ h, t, gate: t < 1 || t >= prompt.length - 2 ? Infinity : gate }))
  );
  const rows = 12;
  const best = all.toSorted((a, b) => a.gate === b.gate ? 0 : b.gate - a.gate).slice(0, whole.flat().length * rows);
  const kept = (await seen(rows)).flat().map(({ positions }) => [...positions]);
  assertEquals(kept, whole.flat().map((_, h) => best.filter((row) => row.h === h).map(({ t }) => t).sort((a, b) => a - b)));
});

onEveryBackend("a gate that is not there, or not for this model, is refused by name", async ({ backend }) => {
  {
    await using model = await orThrow(openModel(backend, file));
    const plan = planFor(model, fastKvzip(), 10);
    assert(
      E.isLeft(plan) && showError(plan.left).startsWith('the network "fastkvzip" that blocks[0].verbs[0] scores with is not available'),
    );
  }
  assertEquals(surrogateName(await written(gates)), "fastkvzip");
  const faults: ReadonlyArray<readonly [string, TensorToWrite | null, string]> = [
    [
      "layers.1.b",
      tensorOf("layers.1.b", [kvHeads, group], 1),
      `tensor layers.1.b: found ${kvHeads} x ${group}, allowed is ${kvHeads} x 1 x ${group}`,
    ],
    ["layers.0.k_norm.weight", null, "tensor layers.0.k_norm.weight: found no such tensor"],
    ["layers.1.k_base", tensorOf("layers.1.k_base", [kvHeads, 1, sinks], 1), "tensor layers.1"],
  ];
  for (const [name, by, said] of faults) {
    const changed = gates.flatMap((t) => t.name !== name ? [t] : by === null ? [] : [by]);
    const opened = await openModel(backend, file, { surrogates: { fastkvzip: await written(changed) } })();
    assert(E.isLeft(opened) && showError(opened.left).includes(said), E.isLeft(opened) ? showError(opened.left) : "opened");
  }
  assertEquals(backend.liveBytes().weights, 0);
});
