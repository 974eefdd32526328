/**
 * Makes the gate of Write-Gated KV under `surrogates/`: `deno run -A tools/train_gate.ts OUT` reads the texts of `calibrate/corpus.ts`,
 * trains every KV head's gate by local distillation, prints how each fares on held-out texts, and writes the weights to OUT.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { type Gate, type GateRecipe, gatesOf, trainGate } from "../calibrate/gate.ts";
import { type GateHead, gateHead } from "../calibrate/gate_head.ts";
import { gated } from "../calibrate/gate_loss.ts";
import { type GateText, gateText } from "../calibrate/gate_rows.ts";
import { shuffled } from "../calibrate/prompts.ts";
import { resolveModel, SMOLLM2 } from "../cli/catalogue.ts";
import { corpusTexts } from "../cli/corpora.ts";
import { randomOf } from "../conformance/random.ts";
import { chatParts } from "../model/chat_parts.ts";
import { type Model, openModel } from "../model/model.ts";
import { type TensorToWrite, writeSafetensors } from "../model/safetensors.ts";
import { orThrow } from "../run/mod.ts";

/** Texts per split, tokens and queries per text, seed of everything. */
const [TRAIN, TUNE, TOKENS, QUERIES, SEED] = [3, 1, 1024, 12, 1];
const RECIPE: GateRecipe = {
  inner: 32,
  epochs: 8,
  rate: 1e-2,
  decay: 0.01,
  clip: 1,
  lambda: 2e-2,
  window: 256,
  seed: SEED,
};
const THRESHOLD = 0.1;

/** Texts of one split, cut to TOKENS; every other one starts as a chat does. */
async function textsOf(model: Model, split: "train" | "tune", count: number): Promise<ReadonlyArray<GateText>> {
  const options = { env: (name: string) => Deno.env.get(name), progress: () => {} };
  const documents = (await orThrow(corpusTexts(options))).filter((d) => d.split === split && d.text.length > TOKENS * 6);
  const tokenizer = await orThrow(model.tokenizer());
  const { prefix } = chatParts(tokenizer);
  const texts: GateText[] = [];
  for (const [i, { id, text }] of shuffled(randomOf(`gate ${split}`, SEED), documents).slice(0, count).entries()) {
    const from = randomOf(`start of ${id}`, SEED).integer(text.length - TOKENS * 6);
    const tokens = [...i % 2 === 0 ? prefix : [], ...tokenizer.encode(text.slice(from, from + TOKENS * 6))].slice(0, TOKENS);
    if (tokens.length < TOKENS) continue;
    texts.push(await orThrow(gateText(model, id, { window: RECIPE.window, queries: QUERIES, seed: SEED })(tokens)));
    console.log(`${split} ${i}: ${id}`);
  }
  return texts;
}

/** Shares admitted, and distances with hard gates, of a head on held-out texts. */
async function judged(
  backend: Backend,
  gate: Gate,
  heads: ReadonlyArray<GateHead>,
): Promise<{ share: number; distance: number; none: number }> {
  let [share, distance, none] = [0, 0, 0];
  for (const head of heads) {
    const gates = await orThrow(await gatesOf(backend, gate, head));
    const hard = gates.map((g) => g > THRESHOLD ? 1 : 0);
    share += hard.reduce((a, b) => a + b, 0) / hard.length / heads.length;
    distance += gated(head, hard, { lambda: 0, window: RECIPE.window, floor: 0 }).distance / heads.length;
    none += gated(head, hard.map(() => 0), { lambda: 0, window: RECIPE.window, floor: 0 }).distance / heads.length;
  }
  return { share, distance, none };
}

const tensor = (name: string, shape: ReadonlyArray<number>, parts: ReadonlyArray<Float32Array>): TensorToWrite => ({
  name,
  type: "F16",
  shape,
  numbers: Float32Array.from(parts.flatMap((p) => [...p])),
});

async function main(out: string): Promise<void> {
  const options = { env: (name: string) => Deno.env.get(name), progress: () => {} };
  const source = await orThrow(resolveModel(SMOLLM2.name, options));
  if (source._tag !== "File") throw new Error("no model file");
  await using backend = await orThrow(openWasm({ threads: 1 }));
  await using model = await orThrow(openModel(backend, source.path));
  const [train, tune] = [await textsOf(model, "train", TRAIN), await textsOf(model, "tune", TUNE)];
  const { layers } = model.spec.shape;
  const tensors: TensorToWrite[] = [];
  for (const [l, shape] of layers.entries()) {
    const gates: Gate[] = [];
    for (let h = 0; h < shape.kvHeads; h++) {
      const of = (texts: ReadonlyArray<GateText>) => texts.map((t) => gateHead(t, shape, l, h, RECIPE.window));
      const { gate, losses } = await orThrow(await trainGate(backend, of(train), RECIPE, `gate ${l} ${h}`));
      gates.push(gate);
      const { share, distance, none } = await judged(backend, gate, of(tune));
      console.log(
        `layer ${l} head ${h}: losses ${losses.map((x) => x.toFixed(4)).join(" ")}, admitted ${share.toFixed(3)}, distance ${
          distance.toFixed(4)
        } of ${none.toFixed(4)}`,
      );
    }
    const [heads, dim, inner] = [shape.kvHeads, shape.keyDim, RECIPE.inner];
    const ones = new Float32Array(dim).fill(1);
    tensors.push(
      tensor(`layers.${l}.gamma1`, [dim], [ones]),
      tensor(`layers.${l}.gamma2`, [dim], [ones]),
      tensor(`layers.${l}.W1`, [heads, inner, 2 * dim], gates.map((g) => g.w1)),
      tensor(`layers.${l}.b1`, [heads, inner], gates.map((g) => g.b1)),
      tensor(`layers.${l}.w2`, [heads, inner], gates.map((g) => g.w2)),
      tensor(`layers.${l}.b2`, [heads], gates.map((g) => g.b2)),
    );
  }
  const metadata = new Map([["model", SMOLLM2.name], ["model.sha256", SMOLLM2.pin.sha256]]);
  await Deno.mkdir(out, { recursive: true });
  await Deno.writeFile(`${out}/smollm2-135m-instruct.wgkv.safetensors`, await orThrow(writeSafetensors(tensors, metadata)));
}

if (import.meta.main) await main(Deno.args[0] ?? "");
