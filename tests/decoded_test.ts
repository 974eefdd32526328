/**
 * Weights out of their blocks: the same numbers for the reference, and numbers that no backend rounds activations for.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { Backend } from "../backends/backend.ts";
import { openReference } from "../backends/reference/mod.ts";
import { decodedModel, logitsOver, type ModelFile, openModel, readModelFile } from "../model/mod.ts";
import { keepAll } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { backends } from "./support/backends.ts";
import { typedCases } from "./support/golden.ts";
import { tinyFile } from "./support/tiny_model.ts";

/** Logits after the last of these tokens, rows stored as f32. */
async function lastLogits(backend: Backend, model: ModelFile, tokens: ReadonlyArray<number>): Promise<Float32Array> {
  await using opened = await orThrow(openModel(backend, model));
  return (await orThrow(logitsOver(opened, keepAll, { codec: "f32" })(tokens, [0]))).at(-1) ?? new Float32Array();
}

/** Squares of differences over squares. */
const errorOf = (found: Float32Array, expected: Float32Array): number =>
  expected.reduce((sum, x, i) => sum + ((found[i] ?? NaN) - x) ** 2, 0) / expected.reduce((sum, x) => sum + x ** 2, 0);

/** The order of f32 sums of some hundred terms; where activations are rounded to 8 bits it is 1e-6 and more. */
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
