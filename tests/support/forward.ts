/**
 * kvfold's logits next to stored ones.
 * @module
 */
import type { Backend } from "../../backends/backend.ts";
import { logitsOver, type Model, type ModelFile, openModel } from "../../model/mod.ts";
import { keepAll } from "../../papers/mod.ts";
import { orThrow } from "../../run/mod.ts";
import type { GoldenRow } from "./golden.ts";
import { numbersFrom } from "./golden.ts";

/** One position compared: error relative to the variance of all stored logits, and whether the likeliest token is the same. */
export interface Closeness {
  readonly at: number;
  readonly nmse: number;
  readonly sameTop: boolean;
}

/** How close the logits of `tokens` are at the stored positions. `ids` are the stored logits' token ids, null for all. */
export async function closeness(
  backend: Backend,
  file: Uint8Array | ModelFile,
  tokens: ReadonlyArray<number>,
  golden: ReadonlyArray<GoldenRow & { readonly at: number }>,
  ids: ReadonlyArray<number> | null,
): Promise<ReadonlyArray<Closeness>> {
  await using model: Model = await orThrow(openModel(backend, file));
  // Row i predicts token i + 1; what the last row predicts does not matter.
  const rows = await orThrow(logitsOver(model, keepAll, { codec: "f32" })(tokens.slice(0, 1), [...tokens.slice(1), 0]));
  return golden.map(({ at, variance, top, logits }) => {
    const row = rows[at] ?? new Float32Array();
    const expected = numbersFrom(logits);
    const squares = expected.reduce((sum, x, i) => sum + ((row[ids?.[i] ?? i] ?? NaN) - x) ** 2, 0);
    return { at, nmse: squares / expected.length / variance, sameTop: row.indexOf(Math.max(...row)) === top };
  });
}
