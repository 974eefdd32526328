/**
 * The gates of a whole model: texts cut for them, every KV head trained alone, and what each comes to on texts that were held out.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Backend } from "../backends/backend.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import { randomOf } from "../conformance/random.ts";
import { chatParts } from "../model/chat_parts.ts";
import type { Model } from "../model/model.ts";
import type { TensorToWrite } from "../model/safetensors.ts";
import type { Tokenizer } from "../model/types.ts";
import type { TextDocument } from "./corpus.ts";
import { type Gate, type GateRecipe, gatesOf, trainGate } from "./gate.ts";
import { type GateHead, gateHead } from "./gate_head.ts";
import { gated } from "./gate_loss.ts";
import { type GateText, gateText } from "./gate_rows.ts";
import { shuffled } from "./prompts.ts";

/** The recipe of the gate that comes along. */
export const GATE_RECIPE: GateRecipe = { inner: 32, epochs: 8, rate: 1e-2, decay: 0.01, clip: 1, lambda: 2e-2, window: 256, seed: 1 };

/** Gates at least this large admit their row when a gate is judged. */
const THRESHOLD = 0.1;

/** Characters that are cut per token: more than tokenizers need for prose. */
const PER_TOKEN = 6;

/** A text to train on. */
export interface GateTokens {
  readonly id: string;
  readonly tokens: ReadonlyArray<number>;
}

/** Pieces of `length` tokens out of as many documents of a split, every other one behind the beginning of a chat; documents that are too
 * short are left out. */
export function gateTokens(
  tokenizer: Tokenizer,
  documents: ReadonlyArray<TextDocument>,
  { split, count, length, seed }: {
    readonly split: "train" | "tune";
    readonly count: number;
    readonly length: number;
    readonly seed: number;
  },
): ReadonlyArray<GateTokens> {
  const { prefix } = chatParts(tokenizer);
  const long = documents.filter((d) => d.split === split && d.text.length > length * PER_TOKEN);
  return shuffled(randomOf(`gate ${split}`, seed), long).slice(0, count).flatMap(({ id, text }, i) => {
    const from = randomOf(`start of ${id}`, seed).integer(text.length - length * PER_TOKEN);
    const own = tokenizer.encode(text.slice(from, from + length * PER_TOKEN));
    const tokens = [...i % 2 === 0 ? prefix : [], ...own].slice(0, length);
    return tokens.length < length ? [] : [{ id, tokens }];
  });
}

/** What the gate of one KV head comes to on held-out texts. */
export interface GateQuality {
  readonly layer: number;
  readonly head: number;
  /** Share of the rows that leave the window which it admits. */
  readonly admitted: number;
  /** Squared distance of attention over what is admitted from attention over all, as a share of its energy. */
  readonly distance: number;
  /** The same with the window alone. */
  readonly windowAlone: number;
}

/** Texts, recipe, queries per text, and who is told about progress. */
export interface GateJob {
  readonly train: ReadonlyArray<GateTokens>;
  readonly heldOut: ReadonlyArray<GateTokens>;
  readonly recipe: GateRecipe;
  readonly queries: number;
  readonly progress?: (what: string, done: number, all: number) => void;
}

/** Tensors as `model/gate_file.ts` reads them, and what each head's gate comes to. Left: what the model or its backend cannot do. */
export async function trainGates(
  model: Model,
  { train, heldOut, recipe, queries, progress = () => {} }: GateJob,
): Promise<E.Either<KvError, { readonly tensors: ReadonlyArray<TensorToWrite>; readonly heads: ReadonlyArray<GateQuality> }>> {
  const texts: GateText[] = [];
  for (const [i, { id, tokens }] of [...train, ...heldOut].entries()) {
    progress("reading texts", i, train.length + heldOut.length);
    const text = await gateText(model, id, { window: recipe.window, queries, seed: recipe.seed })(tokens)();
    if (E.isLeft(text)) return text;
    texts.push(text.right);
  }
  const { layers } = model.spec.shape;
  const [tensors, heads]: [TensorToWrite[], GateQuality[]] = [[], []];
  for (const [l, shape] of layers.entries()) {
    const gates: Gate[] = [];
    for (let h = 0; h < shape.kvHeads; h++) {
      progress("training gates of layers", l, layers.length);
      const all = texts.map((t) => gateHead(t, shape, l, h, recipe.window));
      const fit = await trainGate(model.backend, all.slice(0, train.length), recipe, `gate ${l} ${h}`);
      if (E.isLeft(fit)) return fit;
      const quality = await judged(model.backend, fit.right.gate, all.slice(train.length), recipe.window);
      if (E.isLeft(quality)) return quality;
      gates.push(fit.right.gate);
      heads.push({ layer: l, head: h, ...quality.right });
    }
    tensors.push(...tensorsOf(l, shape, recipe.inner, gates));
  }
  return E.right({ tensors, heads });
}

/** Means over held-out texts, gates open or shut. */
async function judged(
  backend: Backend,
  gate: Gate,
  heads: ReadonlyArray<GateHead>,
  window: number,
): Promise<E.Either<KvError, Omit<GateQuality, "layer" | "head">>> {
  let [admitted, distance, windowAlone] = [0, 0, 0];
  for (const head of heads) {
    const gates = await gatesOf(backend, gate, head);
    if (E.isLeft(gates)) return gates;
    const hard = Array.from(gates.right, (g) => g > THRESHOLD ? 1 : 0);
    const far = (of: ReadonlyArray<number>): number => gated(head, of, { lambda: 0, window, floor: 0 }).distance / heads.length;
    admitted += hard.reduce<number>((a, b) => a + b, 0) / hard.length / heads.length;
    distance += far(hard);
    windowAlone += far(hard.map(() => 0));
  }
  return E.right({ admitted, distance, windowAlone });
}

/** A layer's gates; the scales of both norms stay 1. */
function tensorsOf(l: number, { kvHeads, keyDim }: LayerShape, inner: number, gates: ReadonlyArray<Gate>): ReadonlyArray<TensorToWrite> {
  const ones = new Float32Array(keyDim).fill(1);
  const tensor = (part: string, shape: ReadonlyArray<number>, parts: ReadonlyArray<Float32Array>): TensorToWrite => ({
    name: `layers.${l}.${part}`,
    type: "F16",
    shape,
    numbers: Float32Array.from(parts.flatMap((p) => [...p])),
  });
  return [
    tensor("gamma1", [keyDim], [ones]),
    tensor("gamma2", [keyDim], [ones]),
    tensor("W1", [kvHeads, inner, 2 * keyDim], gates.map((g) => g.w1)),
    tensor("b1", [kvHeads, inner], gates.map((g) => g.b1)),
    tensor("w2", [kvHeads, inner], gates.map((g) => g.w2)),
    tensor("b2", [kvHeads], gates.map((g) => g.b2)),
  ];
}
