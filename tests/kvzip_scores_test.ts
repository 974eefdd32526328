import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { chatParts } from "../model/chat_parts.ts";
import { inductionModel, type ModelFile, observePrompt, openModel } from "../model/mod.ts";
import { readModelFile } from "../model/model_file.ts";
import { reconstruct } from "../model/reconstruct.ts";
import type { Scoring } from "../model/reconstruct_plan.ts";
import { passesOf } from "../model/repeat.ts";
import { keepAll } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { begin } from "./model_support.ts";
import { backends, type NamedBackend, wasmBuilds } from "./support/backends.ts";
import { realModel } from "./support/real_model.ts";
import { slowScores } from "./support/slow_kvzip.ts";

const scorings: ReadonlyArray<Scoring> = [true, false].flatMap((plus) =>
  (["training", "inference"] as const).map((denominators) => ({ plus, denominators }))
);

interface Asked {
  readonly file: ModelFile;
  readonly tokens: ReadonlyArray<number>;
  readonly prefix: number;
  readonly chunk: number;
  readonly layers: ReadonlyArray<number>;
}

/** The library's scores and the slow ones of some layers, head after head. */
async function bothScores({ open }: NamedBackend, { file, tokens, prefix, chunk, layers }: Asked, scoring: Scoring) {
  await using backend = await orThrow(open());
  await using model = await orThrow(openModel(backend, file));
  const session = await orThrow(observePrompt(model, keepAll, { codec: "f32" })(tokens));
  const tokenizer = await orThrow(model.tokenizer());
  const options = { ...scoring, parts: chatParts(tokenizer), prefix, chunk };
  const before = backend.liveBytes().buffers;
  const fast = await orThrow(reconstruct(session, options)(tokens));
  assertEquals(backend.liveBytes().buffers, before); // nothing of the passes stays
  const passes = await orThrow(passesOf(tokenizer, model.spec.shape.context, tokens, options));
  const both: (readonly [ReadonlyArray<number>, ReadonlyArray<number>])[] = [];
  for (const l of layers) {
    const slow = await slowScores(session, file, passes, scoring, l);
    both.push([[...fast[l] ?? []], slow.flatMap((head) => [...head])]);
  }
  return both;
}

/** Spearman's rank correlation; equal numbers share the mean of their ranks. */
function rankCorrelation(a: ReadonlyArray<number>, b: ReadonlyArray<number>): number {
  const ranks = (x: ReadonlyArray<number>): ReadonlyArray<number> => {
    const sorted = x.toSorted((p, q) => p - q);
    return x.map((v) => (sorted.indexOf(v) + sorted.lastIndexOf(v)) / 2);
  };
  const [ra, rb] = [ranks(a), ranks(b)];
  const middle = (a.length - 1) / 2;
  const dot = (p: ReadonlyArray<number>, q: ReadonlyArray<number>): number =>
    p.reduce((sum, x, i) => sum + (x - middle) * ((q[i] ?? 0) - middle), 0);
  return dot(ra, rb) / Math.sqrt(dot(ra, ra) * dot(rb, rb));
}

for (const backend of backends) {
  // The reference takes seconds where Wasm takes milliseconds; the Wasm builds try all four.
  for (const scoring of scorings.filter(({ plus }) => plus || backend.name !== "reference")) {
    Deno.test(`reconstruction scores are those of the formula, ${JSON.stringify(scoring)} (${backend.name})`, async () => {
      const tokens = begin("one fish, two");
      for (
        const [fast, slow] of await bothScores(backend, { file: inductionModel(), tokens, prefix: 1, chunk: 8, layers: [0, 1] }, scoring)
      ) {
        // f32 against f64; the model's own logits reach 1,000, whose last f32 bit is 6e-5 of a probability.
        slow.forEach((s, i) => assert(Math.abs((fast[i] ?? NaN) - s) <= 1e-3 * s + 1e-6, `row ${i}: ${fast[i]}, ${s} by the formula`));
        assert(slow.some((s) => s > 0));
      }
    });
  }
}

const real = await realModel();
const text = "The Nile floods every summer. In Cairo, on 14 May 1897, Dr. Ada Brenner wrote: the river is late; nobody knows why. " +
  "Her notebook lists 37 gauges, each with its height in cubits, and one word that she never explained: kestrel.";

for (const scoring of scorings) {
  Deno.test({
    name: `reconstruction scores of SmolLM2 rank as those of the formula do, ${JSON.stringify(scoring)}`,
    ignore: real === null,
    fn: async () => {
      const file = await orThrow(
        E.isRight(readModelFile("m", real ?? new Uint8Array()))
          ? readModelFile("m", real ?? new Uint8Array())
          : readModelFile("m", new Uint8Array()),
      );
      const tokenizer = await orThrow(file.tokenizer());
      const { prefix } = chatParts(tokenizer);
      const tokens = [...prefix, ...tokenizer.encode(text)];
      const fast = wasmBuilds[1];
      if (fast === undefined) throw new Error("no fast build");
      for (const [a, b] of await bothScores(fast, { file, tokens, prefix: prefix.length, chunk: 32, layers: [0, 14, 29] }, scoring)) {
        const correlation = rankCorrelation(a, b);
        assert(correlation >= 0.999, `rank correlation ${correlation}`);
      }
    },
  });
}

Deno.test("a repetition that does not fit the context is refused before anything runs, with the numbers", () => {
  const tokenizer = { encode: (s: string) => [...new TextEncoder().encode(s)] };
  const parts = { prefix: [], suffix: [10] };
  const passes = passesOf(tokenizer, 100, Array.from({ length: 60 }, (_, i) => i), { denominators: "training", parts, prefix: 0 });
  assertEquals(E.isLeft(passes) && showError(passes.left), "context of the model for a repetition, tokens: needed 194, available 100");
});
