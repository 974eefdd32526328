/**
 * What a gate of Write-Gated KV is trained on: keys, values and some queries of real texts, per layer.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import { ownLayers } from "../cache/view.ts";
import { type Random, randomOf } from "../conformance/random.ts";
import type { Model } from "../model/model.ts";
import { disposeSession, prefill, type Session } from "../model/session.ts";
import { attention, block, evict, lastQueries, policy, rows, step } from "../policy/mod.ts";
import { read } from "../run/mod.ts";
import { readNumbers } from "../run/scratch.ts";
import { shuffled } from "./prompts.ts";

/** One text as the layers saw it. */
export interface GateText {
  /** Tokens. */
  readonly tokens: number;
  /** Positions of the queries, ascending. */
  readonly queryPositions: ReadonlyArray<number>;
  readonly layers: ReadonlyArray<GateRows>;
}

/** One layer of a text. Halves, because many texts are held at once. */
export interface GateRows {
  /** f16 [kvHeads, tokens, keyDim] after rotation. */
  readonly keys: Float16Array;
  /** f16 [kvHeads, tokens, valueDim] */
  readonly values: Float16Array;
  /** f16 [queries, queryHeads, keyDim] after rotation. */
  readonly queries: Float16Array;
}

/** What is taken of each text. */
export interface GateSampling {
  /** Newest positions that every query sees anyway; queries are older than none of them. */
  readonly window: number;
  /** Queries per text. */
  readonly queries: number;
  readonly seed: number;
}

/** Reads a text and keeps all its rows and the queries at some positions from `window` on. */
export const gateText =
  (model: Model, id: string, { window, queries, seed }: GateSampling) =>
  (tokens: ReadonlyArray<number>): TE.TaskEither<KvError, GateText> => {
    const ring = tokens.length - window;
    // A policy whose only trace is its ring of queries: what it does while decoding is never done.
    const watching = policy(`queries of ${id}`, [
      block(step, [pipe(attention(lastQueries(ring), "sum", "mean"), evict({ budget: rows(tokens.length) }))]),
    ]);
    const picked = pickedOf(randomOf(`queries of ${id}`, seed), ring, queries);
    return pipe(
      prefill(model, watching, { codec: "f32" })(tokens),
      TE.chain((session) =>
        pipe(
          layersOf(session, ring, picked),
          TE.map((layers): GateText => ({ tokens: tokens.length, queryPositions: picked.map((i) => window + i), layers })),
          TE.chainFirst(() => TE.fromIOEither(disposeSession(session))),
        )
      ),
    );
  };

const pickedOf = (random: Random, count: number, wanted: number): ReadonlyArray<number> =>
  shuffled(random, Array.from({ length: count }, (_, i) => i)).slice(0, wanted).toSorted((a, b) => a - b);

const layersOf =
  ({ model, cache }: Session, ring: number, picked: ReadonlyArray<number>): TE.TaskEither<KvError, ReadonlyArray<GateRows>> => async () => {
    const found = await read(model.memory)(cache)();
    if (E.isLeft(found)) return found;
    const layers: GateRows[] = [];
    for (const { index, own } of ownLayers(cache)) {
      const width = own.shape.queryHeads * own.shape.keyDim;
      const all = own.recent === null ? E.right(new Float32Array()) : await readNumbers(model.memory, own.recent.queries, ring * width)();
      if (E.isLeft(all)) return all;
      const heads = found.right.layers[index] ?? [];
      layers.push({
        keys: halves(heads.map((h) => h.keys)),
        values: halves(heads.map((h) => h.values)),
        queries: halves(picked.map((i) => all.right.subarray(i * width, (i + 1) * width))),
      });
    }
    return E.right(layers);
  };

function halves(parts: ReadonlyArray<Float32Array>): Float16Array {
  const out = new Float16Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
