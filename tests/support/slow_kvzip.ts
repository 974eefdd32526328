/**
 * KVzip's scores straight from the formula, in f64 and with the whole attention matrix: what the library's pass is held against.
 * Queries, hidden states and rows are those of the model's own run; softmax, norms and maxima are computed here.
 * @module
 */
import { decodeBlocks } from "../../backends/block_numbers.ts";
import { feed } from "../../model/feed.ts";
import type { ModelFile } from "../../model/types.ts";
import { quietPlan, type Scoring } from "../../model/reconstruct_plan.ts";
import type { Pass } from "../../model/repeat.ts";
import { forkSession, type Session } from "../../model/session.ts";
import { bound, emit } from "../../plan/draft.ts";
import type { PolicyPlan } from "../../plan/types.ts";
import { dispose, type HeadRows, orThrow, read } from "../../run/mod.ts";
import { readNumbers, wholly, withScratch } from "../../run/scratch.ts";

/** What a layer's queries were, and what they were projected from. */
interface Taps {
  readonly queries: Float32Array;
  readonly hidden: Float32Array;
}

/** Scores of layer `layer`, [kvHeads][tokens], 0 where no pass scores. */
export async function slowScores(
  session: Session,
  file: ModelFile,
  passes: ReadonlyArray<Pass>,
  scoring: Scoring,
  layer: number,
): Promise<ReadonlyArray<Float64Array>> {
  const { model, cache: { nextPosition: rows } } = session;
  const shape = model.spec.shape.layers[layer];
  if (shape === undefined) throw new Error(`no layer ${layer}`);
  const scores = Array.from({ length: shape.kvHeads }, () => new Float64Array(rows));
  const write = writers(file, layer);
  for (const pass of passes) {
    const { taps, heads } = await runPass(session, pass, layer);
    for (let q = 0; q < shape.queryHeads; q++) {
      const h = Math.floor(q * shape.kvHeads / shape.queryHeads);
      const head = heads[h];
      const score = scores[h];
      if (head === undefined || score === undefined) continue;
      for (let j = 0; j < pass.scored.length; j++) {
        const p = attention(
          taps.queries.subarray((j * shape.queryHeads + q) * shape.keyDim, (j * shape.queryHeads + q + 1) * shape.keyDim),
          head,
          {
            scale: shape.scale,
            last: rows + pass.silent.length + j,
            counts: (at) => scoring.denominators === "training" || at < pass.sinks || at >= pass.from && at < pass.to || at >= rows,
          },
        );
        const reader = scoring.plus
          ? Math.hypot(...taps.hidden.subarray(j * model.spec.shape.hidden, (j + 1) * model.spec.shape.hidden))
          : 1;
        for (let i = pass.from; i < pass.to; i++) {
          const written = scoring.plus ? write(q, head.values.subarray(i * shape.valueDim, (i + 1) * shape.valueDim)) : 1;
          score[i] = Math.max(score[i] ?? 0, (p[i] ?? 0) * written / reader);
        }
      }
    }
  }
  return scores;
}

/** One row of the attention matrix, softmax over the rows that count. */
function attention(
  query: Float32Array,
  { keys, positions }: HeadRows,
  { scale, last, counts }: { readonly scale: number; readonly last: number; readonly counts: (position: number) => boolean },
): Float64Array {
  const logits = Float64Array.from(
    positions,
    (at, i) => at > last || !counts(at) ? -Infinity : scale * query.reduce((sum, x, c) => sum + x * (keys[i * query.length + c] ?? 0), 0),
  );
  const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = logits.reduce((sum, x) => sum + Math.exp(x - top), 0);
  return logits.map((x) => Math.exp(x - top) / total);
}

/** The norm of what query head q writes for a value, by the decoded output projection [hidden, queryHeads * valueDim]; remembered. */
function writers(file: ModelFile, layer: number): (q: number, value: Float32Array) => number {
  const tensor = file.tensors.get(`blk.${layer}.attn_output.weight`);
  if (tensor === undefined) throw new Error("no output projection");
  const { rows, cols } = tensor;
  const weight = decodeBlocks(tensor.type, tensor.bytes, rows * cols);
  const known = new Map<string, number>();
  return (q, value) => {
    const key = `${q} ${value.byteOffset}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    let square = 0;
    for (let r = 0; r < rows; r++) square += value.reduce((sum, v, c) => sum + v * (weight[r * cols + q * value.length + c] ?? 0), 0) ** 2;
    known.set(key, Math.sqrt(square));
    return Math.sqrt(square);
  };
}

/** Reads a pass on a fork: the layer's rows after it, and its taps at the scored tokens. */
async function runPass(
  session: Session,
  { silent, scored }: Pass,
  layer: number,
): Promise<{ readonly taps: Taps; readonly heads: ReadonlyArray<HeadRows> }> {
  const { model, plan } = session;
  const { hidden, layers } = model.spec.shape;
  const width = (layers[layer]?.queryHeads ?? 0) * (layers[layer]?.keyDim ?? 0);
  const m = scored.length;
  const tapped: PolicyPlan = {
    ...quietPlan(plan),
    splice: (_, l, slots) => (draft) => {
      if (l !== layer) return draft;
      const [queries, d1] = bound("tap.queries")(draft);
      const [states, d2] = bound("tap.hidden")(d1);
      const copy = emit({ op: "slice", args: [slots.queries, queries], params: { from: 0, rows: m, width } })(d2);
      return emit({ op: "slice", args: [slots.hidden, states], params: { from: 0, rows: m, width: hidden } })(copy);
    },
    describe: `taps\nlayer ${layer} ${plan.describe}`,
  };
  let { cache } = await orThrow(forkSession(session));
  const run = (p: PolicyPlan, tokens: ReadonlyArray<number>, extra = {}) =>
    orThrow(feed(model, p, { tokens, point: { _tag: "AfterChunk", m: tokens.length }, logits: "none", extra })(cache));
  if (silent.length > 0) cache = (await run(quietPlan(plan), silent)).cache;
  const wanted = [{ label: "tap.queries", content: m * width * 4 }, { label: "tap.hidden", content: m * hidden * 4 }];
  return await orThrow(withScratch(model.memory, wanted, (buffers) => async () => {
    cache = (await run(tapped, scored, wholly(buffers))).cache;
    const rows = await orThrow(read(model.memory)(cache));
    const [q, h] = [buffers["tap.queries"], buffers["tap.hidden"]];
    if (q === undefined || h === undefined) throw new Error("no taps");
    const taps = {
      queries: await orThrow(readNumbers(model.memory, q, m * width)),
      hidden: await orThrow(readNumbers(model.memory, h, m * hidden)),
    };
    await orThrow(dispose(model.memory)(cache));
    return { _tag: "Right", right: { taps, heads: rows.layers[layer] ?? [] } };
  }));
}
