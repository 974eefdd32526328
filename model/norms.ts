/**
 * What tells models apart whatever their weights are quantised to: the vectors of their norms and biases, which files hold in f32 at every
 * size.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { digestOf } from "./cache_identity.ts";
import type { Safetensors } from "./safetensors.ts";
import type { ModelFile } from "./types.ts";

/** Key of a surrogate's metadata under which the digest of its model stands; published KVzap weights have none. */
export const NORMS = "model.norms";

/** SHA-256 over every f32 vector by name, in hexadecimal: the same for the Q4 and the Q8 file of one model, another for a model that was
 * trained further. Empty, which no weights carry, where the platform has no SHA-256, as in a page that is not served securely.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { inductionModel } from "./induction.ts";
 * assertEquals((await normsDigest(inductionModel())).length, 64);
 * ```
 */
export const normsDigest = async ({ tensors, decodedFrom }: Pick<ModelFile, "tensors" | "decodedFrom">): Promise<string> =>
  "subtle" in crypto
    ? await digestOf(
      [...(decodedFrom ?? tensors).values()].filter(({ rows, type }) => rows === 1 && type === "F32").toSorted((a, b) =>
        a.name < b.name ? -1 : 1
      ),
    )
    : "";

/** Left: `InvalidFile` for the first surrogate that was made for a model with other norms. */
export function checkNorms(name: string, norms: string, files: ReadonlyArray<Safetensors>): E.Either<KvError, void> {
  const other = files.find(({ metadata }) => (metadata.get(NORMS) ?? norms) !== norms);
  return other === undefined ? E.right(undefined) : E.left({
    _tag: "InvalidFile",
    file: other.file,
    at: NORMS,
    found: `${other.metadata.get(NORMS)?.slice(0, 16)}… (${other.metadata.get("model") ?? "a model without a name"})`,
    allowed: `${norms.slice(0, 16)}…, those of ${name}`,
  });
}
