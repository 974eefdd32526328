/**
 * The real model for tests: fetched once, then from the cache folder.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { showError } from "../../cache/error.ts";
import { resolveModel, SMOLLM2 } from "../../cli/catalogue.ts";

/** The bytes of SmolLM2-135M-Instruct, or null, with the reason on stderr, where they cannot be had; tests are then ignored. */
export async function realModel(): Promise<Uint8Array | null> {
  const source = await resolveModel(SMOLLM2.name, { env: (name) => Deno.env.get(name), progress: () => {} })();
  if (E.isRight(source) && source.right._tag === "File") return await Deno.readFile(source.right.path);
  console.error(`TESTS WITH THE REAL MODEL ARE IGNORED: ${E.isLeft(source) ? showError(source.left) : "no such model"}`);
  return null;
}
