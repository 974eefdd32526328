/**
 * Write-Gated KV in a model: gates come from keys before and after rotation, by the networks that the model was opened with.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openReference } from "../backends/reference/mod.ts";
import { showError } from "../cache/mod.ts";
import { disposeSession, type Model, openModel, prefill, readModelFile, readSafetensors, type Safetensors, step } from "../model/mod.ts";
import { planFor, type TensorToWrite, writeSafetensors } from "../model/mod.ts";
import { normal } from "../calibrate/mlp.ts";
import { parsePolicy } from "../papers/mod.ts";
import { orThrow, read } from "../run/mod.ts";
import { randomBytes } from "./model_support.ts";
import { numbers, onEveryBackend } from "./support.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

const file = await orThrow(readModelFile("tiny", tinyFile(tiny("llama"))));
const { layers } = file.spec.shape;
const inner = 5;
const prompt = randomBytes(9, 40);

/** Tensors of layer l, with the scale that makes gates spread out. */
const gateOf = (l: number): ReadonlyArray<TensorToWrite> => {
  const { kvHeads, keyDim } = layers[l] ?? { kvHeads: 0, keyDim: 0 };
  const shapes = {
    gamma1: [keyDim],
    gamma2: [keyDim],
    W1: [kvHeads, inner, 2 * keyDim],
    b1: [kvHeads, inner],
    w2: [kvHeads, inner],
    b2: [kvHeads],
  };
  return Object.entries(shapes).map(([part, shape], i) => ({
    name: `layers.${l}.${part}`,
    type: "F32",
    shape,
    numbers: numbers(100 * l + i, shape.reduce((a, d) => a * d, 1)),
  }));
};
const all = layers.flatMap((_, l) => gateOf(l));
const written = async (tensors: ReadonlyArray<TensorToWrite>): Promise<Safetensors> =>
  await orThrow(readSafetensors("gates", await orThrow(writeSafetensors(tensors))));

function onEveryGate(name: string, body: (model: Model) => Promise<void>): void {
  onEveryBackend(name, async ({ backend }) => {
    await using model = await orThrow(openModel(backend, file, { surrogates: { wgkv: await written(all) } }));
    await body(model);
  });
}

interface Seen {
  readonly positions: ReadonlyArray<number>;
  readonly gates: ReadonlyArray<number>;
  readonly keys: Float32Array;
}

/** Every head after a prompt in chunks and then tokens one by one. */
async function after(model: Model, text: string, chunk: number, read_ = prompt.length): Promise<ReadonlyArray<ReadonlyArray<Seen>>> {
  let session = await orThrow(prefill(model, await orThrow(parsePolicy(text)), { chunk, codec: "f32" })(prompt.slice(0, read_)));
  for (const token of prompt.slice(read_)) session = await orThrow(step(token)(session));
  const found = await orThrow(read(model.memory)(session.cache));
  await orThrow(disposeSession(session));
  return found.layers.map((of) =>
    of.map(({ positions, columns, keys }) => ({ positions: [...positions], gates: [...columns["gate"] ?? []], keys }))
  );
}

/** The formula, in f64, from a key after rotation at a position. */
function gateBy(l: number, h: number, key: Float32Array, position: number): number {
  const { rope, keyDim } = layers[l] ?? { rope: { theta: 1, dims: 0 }, keyDim: 0 };
  const raw = [...key];
  for (let i = 0; i < rope.dims / 2; i++) {
    const angle = position * rope.theta ** (-2 * i / rope.dims);
    const [a, b] = [key[i] ?? NaN, key[i + rope.dims / 2] ?? NaN];
    raw[i] = a * Math.cos(angle) + b * Math.sin(angle);
    raw[i + rope.dims / 2] = b * Math.cos(angle) - a * Math.sin(angle);
  }
  const [gamma1, gamma2, w1, b1, w2, b2] = gateOf(l).map((t) => t.numbers);
  const normed = (x: ReadonlyArray<number>, gamma: Float32Array | undefined): ReadonlyArray<number> => {
    const size = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / keyDim + 1e-6);
    return x.map((v, c) => v / size * (gamma?.[c] ?? NaN));
  };
  const x = [...normed(raw, gamma1), ...normed([...key], gamma2)];
  let z = b2?.[h] ?? NaN;
  for (let u = 0; u < inner; u++) {
    const y = x.reduce((sum, v, c) => sum + v * (w1?.[(h * inner + u) * 2 * keyDim + c] ?? NaN), b1?.[h * inner + u] ?? NaN);
    z += (w2?.[h * inner + u] ?? NaN) * y * normal(y);
  }
  return 1 / (1 + Math.exp(-z));
}

onEveryGate("gates are what the formula gives for a row's key before and after rotation, however the tokens come in", async (model) => {
  for (const [chunk, prefilled] of [[40, 40], [7, 40], [16, 20]] as const) {
    for (const [l, heads] of (await after(model, "wgkv(-1)", chunk, prefilled)).entries()) {
      for (const [h, { positions, gates, keys }] of heads.entries()) {
        assertEquals(positions.length, prompt.length);
        const dim = keys.length / positions.length;
        for (const [i, position] of positions.entries()) {
          const wanted = gateBy(l, h, keys.subarray(i * dim, (i + 1) * dim), position);
          // f32 against f64 through three products; the test's own normal distribution is good to 8e-8.
          assert(Math.abs((gates[i] ?? NaN) - wanted) < 2e-5, `layer ${l} head ${h} row ${i}: ${gates[i]} and ${wanted}`);
        }
      }
    }
  }
});

onEveryGate("the rows after a prompt are those of the window and, of the older, those with a gate above the threshold", async (model) => {
  const gates = await after(model, "wgkv(-1)", 40);
  const kept = await after(model, "wgkv(0.4, window=8)", 40);
  for (const [l, heads] of kept.entries()) {
    for (const [h, head] of heads.entries()) {
      const wanted = (gates[l]?.[h]?.gates ?? []).flatMap((g, t) => g > Math.fround(0.4) || t >= prompt.length - 8 ? [t] : []);
      assertEquals(head.positions, wanted);
    }
  }
  assert(kept.flat().some(({ positions }) => positions.length > 8 && positions.length < 40), "gates decide something");
});

onEveryGate("a threshold below 0 admits all, one of 1 nothing; between them more is never more rows", async (model) => {
  const counts: number[] = [];
  for (const threshold of ["-0.5", "0.2", "0.5", "0.8", "1", "inf"]) {
    counts.push((await after(model, `wgkv(${threshold}, window=4)`, 1)).flat().reduce((sum, { positions }) => sum + positions.length, 0));
  }
  const heads = layers.reduce((sum, { kvHeads }) => sum + kvHeads, 0);
  assertEquals([counts[0], counts.at(-1)], [heads * prompt.length, heads * 4]);
  for (const [i, n] of counts.slice(1).entries()) assert(n <= (counts[i] ?? 0), String(counts));
});

onEveryGate(
  "selection and eviction compose with it: rows are those of wgkv, or fewer; one query reads at most its budget",
  async (model) => {
    const gated = await after(model, "wgkv(0.4, window=8)", 40, 32);
    const positions = (of: typeof gated) => of.map((heads) => heads.map((h) => h.positions));
    // Reading everything, evicting nothing, and storing what is old as codes change nothing.
    assertEquals(positions(await after(model, "wgkv(0.4, window=8)+encode(q8, values=q4, at=append, recent=8)", 40, 32)), positions(gated));
    assertEquals(positions(await after(model, "wgkv(0.4, window=8)+quest(64, page=4, dense=0)", 40, 32)), positions(gated));
    assertEquals(positions(await after(model, "wgkv(0.4, window=8)+snapkv(64, window=8)", 40, 32)), positions(gated));
    const pruned = await after(model, "wgkv(0.4, window=8)+snapkv(10, window=8)", 40, 40);
    const before = await after(model, "wgkv(0.4, window=8)", 40, 40);
    for (const [l, heads] of pruned.entries()) {
      for (const [h, head] of heads.entries()) {
        const held = before[l]?.[h]?.positions ?? [];
        assertEquals(head.positions.length, Math.min(10, held.length));
        assert(head.positions.every((p) => held.includes(p)));
      }
    }
  },
);

Deno.test("a file of gates with a wrong shape, a missing or a spare tensor is refused by its name", async () => {
  await using backend = await orThrow(openReference());
  const refused = async (tensors: ReadonlyArray<TensorToWrite>): Promise<string> => {
    const opened = await openModel(backend, file, { surrogates: { wgkv: await written(tensors) } })();
    assert(E.isLeft(opened));
    return showError(opened.left);
  };
  const last = `layers.${layers.length - 1}`;
  const turned = all.map((t) => t.name === `${last}.W1` ? { ...t, shape: [t.shape[0] ?? 0, t.shape[2] ?? 0, t.shape[1] ?? 0] } : t);
  assertStringIncludes(await refused(turned), `${last}.W1`);
  assertStringIncludes(await refused(all.filter(({ name }) => name !== "layers.0.gamma2")), "layers.0.gamma2: found no such tensor");
  const spare: TensorToWrite = { name: "layers.0.w3", type: "F32", shape: [1], numbers: Float32Array.of(0) };
  assertStringIncludes(await refused([...all, spare]), "layers.0.w3");
  const infinite = all.map((t) => t.name === "layers.0.b2" ? { ...t, numbers: t.numbers.map(() => Infinity) } : t);
  assertStringIncludes(await refused(infinite), "layers.0.b2: found Infinity, allowed is finite numbers");
});

Deno.test("without gates, or with weights of another kind under their name, the plan says what to do", async () => {
  await using backend = await orThrow(openReference());
  await using model = await orThrow(openModel(backend, file));
  const plan = planFor(model, await orThrow(parsePolicy("wgkv")), 10);
  assert(E.isLeft(plan));
  assertStringIncludes(showError(plan.left), 'the gate "wgkv"');
  assertStringIncludes(showError(plan.left), "--surrogate");
});
