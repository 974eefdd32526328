/**
 * Weights out of their blocks: the same numbers for the reference, and numbers that no backend rounds activations for.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Backend } from "../backends/backend.ts";
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { showError } from "../cache/mod.ts";
import { calibrateTransforms } from "../calibrate/transform.ts";
import {
  decodedModel,
  loadSession,
  logitsOver,
  type ModelFile,
  normsDigest,
  openModel,
  prefill,
  readModelFile,
  saveSession,
  writeSafetensors,
} from "../model/mod.ts";
import { keepAll } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { backends } from "./support/backends.ts";
import { typedCases } from "./support/golden.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

/** Logits after the last of these tokens, rows stored as f32. */
async function lastLogits(backend: Backend, model: ModelFile, tokens: ReadonlyArray<number>): Promise<Float32Array> {
  await using opened = await orThrow(openModel(backend, model));
  return (await orThrow(logitsOver(opened, keepAll, { codec: "f32" })(tokens, [0]))).at(-1) ?? new Float32Array();
}

/** Squares of differences over squares. */
const errorOf = (found: Float32Array, expected: Float32Array): number =>
  expected.reduce((sum, x, i) => sum + ((found[i] ?? NaN) - x) ** 2, 0) / expected.reduce((sum, x) => sum + x ** 2, 0);

/** The order of f32 sums of some hundred terms; where activations are rounded to 16 bits it is 1e-9 and more. */
const limit = 1e-10;

for (const { name, options, tokens } of typedCases) {
  Deno.test(`${name} blocks, decoded: the same logits on the reference, and no other on Wasm but for the order of sums`, async () => {
    const model = await orThrow(readModelFile(name, tinyFile(options)));
    const decoded = decodedModel(model);
    await using reference = await orThrow(openReference());
    const expected = await lastLogits(reference, model, tokens);
    assertEquals(await lastLogits(reference, decoded, tokens), expected);
    for (const one of backends) {
      await using backend = await orThrow(one.open());
      const error = errorOf(await lastLogits(backend, decoded, tokens), expected);
      assert(error <= limit, `${one.name}: ${error}`);
    }
  });
}

Deno.test("a decoded model is the model of its file to transforms and surrogates, and another to caches", async () => {
  const file = await orThrow(readModelFile("tiny", tinyFile(tiny("llama", { type: "Q8_0" }))));
  const decoded = decodedModel(file);
  assertEquals(await normsDigest(decoded), await normsDigest(file));
  await using backend = await orThrow(openWasm({ threads: 1 }));
  await using plain = await orThrow(openModel(backend, file));
  const prompts = [1, 2].map((seed) => Array.from({ length: 150 }, (_, i) => (i * i * seed + 7 * i) % 256));
  const tensors = await orThrow(calibrateTransforms(plain, { prompts, layersPerGroup: 1, rank: 1, samples: 40 }));
  const { weights } = await plain.digests();
  const about = new Map([["kind", "kvtc"], ["weights", weights], ["layersPerGroup", "1"]]);
  const transforms = { file: "t.safetensors", bytes: await orThrow(writeSafetensors(tensors, about)) };
  await using opened = await orThrow(openModel(backend, decoded, { transforms }));
  assertEquals((await opened.digests()).weights, weights, "transforms made with either open with both");
  const saved = await orThrow(saveSession(await orThrow(prefill(plain, keepAll)(prompts[0] ?? []))));
  const loaded = await loadSession(opened, { file: "a.kv" })(saved)();
  assertMatch(E.isLeft(loaded) ? showError(loaded.left) : "loaded", /weights \(SHA-256\).*, decoded, as here/);
});
