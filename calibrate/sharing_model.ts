/**
 * What KVSharer's search asks of a model: mean rows of every layer, and how alike its predictions stay under a trial map.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { feed } from "../model/feed.ts";
import type { Model } from "../model/model.ts";
import { planFor } from "../model/session.ts";
import { keepAll, kvSharer } from "../papers/mod.ts";
import type { Policy } from "../policy/types.ts";
import { dispose, openCache, read, type ReadRows } from "../run/mod.ts";
import type { LayerMeans } from "./sharing.ts";

/** Texts of one length, as ids. */
type Texts = ReadonlyArray<ReadonlyArray<number>>;

/** Reads one text in one run: logits of all tokens, and the rows where they are wanted. */
async function readText(
  model: Model,
  policy: Policy,
  tokens: ReadonlyArray<number>,
  rows: boolean,
): Promise<E.Either<KvError, { readonly logits: Float32Array; readonly rows: ReadRows | null }>> {
  const plan = planFor(model, policy, tokens.length, { chunk: tokens.length, codec: "f32" });
  if (E.isLeft(plan)) return plan;
  const opened = openCache(model.memory, plan.right, model.spec.shape, { capacity: tokens.length })();
  if (E.isLeft(opened)) return opened;
  const fed = await feed(model, plan.right, { tokens, point: { _tag: "AfterChunk", m: tokens.length }, logits: "all" })(opened.right)();
  if (E.isLeft(fed)) return fed;
  const found = rows ? await read(model.memory)(fed.right.cache)() : E.right(null);
  dispose(model.memory)(fed.right.cache)();
  return E.map((kept: ReadRows | null) => ({ logits: fed.right.logits, rows: kept }))(found);
}

/** Mean keys and values of every layer over the texts, as the whole model has them, and its logits for each text. */
export async function meansOf(
  model: Model,
  texts: Texts,
): Promise<E.Either<KvError, { readonly layers: ReadonlyArray<LayerMeans>; readonly logits: ReadonlyArray<Float32Array> }>> {
  const logits: Float32Array[] = [];
  const sums: { readonly keys: Float32Array; readonly values: Float32Array }[] = [];
  for (const tokens of texts) {
    const whole = await readText(model, keepAll, tokens, true);
    if (E.isLeft(whole)) return whole;
    logits.push(whole.right.logits);
    for (const [l, heads] of (whole.right.rows?.layers ?? []).entries()) {
      const keys = Float32Array.from(heads.flatMap((head) => [...head.keys]), (x) => x / texts.length);
      const values = Float32Array.from(heads.flatMap((head) => [...head.values]), (x) => x / texts.length);
      const sum = sums[l] ??= { keys: new Float32Array(keys.length), values: new Float32Array(values.length) };
      keys.forEach((x, i) => sum.keys[i] = (sum.keys[i] ?? 0) + x);
      values.forEach((x, i) => sum.values[i] = (sum.values[i] ?? 0) + x);
    }
  }
  const { layers } = model.spec.shape;
  return E.right({ logits, layers: sums.map((sum, l) => ({ ...sum, dims: [layers[l]?.keyDim ?? 1, layers[l]?.valueDim ?? 1] })) });
}

/** Mean over the texts of the cosine of the logits of all tokens under a map with those of the whole model. */
export const similarityOf =
  (model: Model, texts: Texts, whole: ReadonlyArray<Float32Array>) =>
  async (from: ReadonlyArray<number>): Promise<E.Either<KvError, number>> => {
    let sum = 0;
    for (const [i, tokens] of texts.entries()) {
      const trial = await readText(model, kvSharer({ from }), tokens, false);
      if (E.isLeft(trial)) return trial;
      sum += cosine(trial.right.logits, whole[i] ?? new Float32Array());
    }
    return E.right(sum / texts.length);
  };

/** NaN for a vector of zeros, which no threshold accepts. */
function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return dot / Math.sqrt(aa * bb);
}
