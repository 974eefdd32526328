/**
 * What tells models apart whatever their weights are quantised to: the vectors of their norms, which files hold in f32 at every size.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Safetensors } from "./safetensors.ts";
import type { ModelFile } from "./types.ts";

/** Key of a surrogate's metadata under which the fingerprint of its model stands; published KVzap weights have none. */
export const FINGERPRINT = "model.fingerprint";

/** A hash of the architecture and of every f32 vector by name, 16 hexadecimal digits: the same for the Q4 and the Q8 file of one model,
 * another for a model that was trained further. It finds mistakes, not forgeries: FNV-1a, 32 bits from either end of the bytes.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { inductionModel } from "./induction.ts";
 * assertEquals(fingerprintOf(inductionModel()).length, 16);
 * ```
 */
export function fingerprintOf({ spec, tensors }: Pick<ModelFile, "spec" | "tensors">): string {
  const vectors = [...tensors.values()].filter(({ rows, type }) => rows === 1 && type === "F32").toSorted((a, b) =>
    a.name < b.name ? -1 : 1
  );
  const head = JSON.stringify([spec.architecture, spec.shape.layers.length, ...vectors.map(({ name, cols }) => [name, cols])]);
  const parts = [new TextEncoder().encode(head), ...vectors.map(({ bytes }) => bytes)];
  let [up, down] = [0x811c9dc5, 0x811c9dc5];
  for (const part of parts) for (const byte of part) up = Math.imul(up ^ byte, 0x01000193);
  for (const part of parts.toReversed()) for (let i = part.length - 1; i >= 0; i--) down = Math.imul(down ^ (part[i] ?? 0), 0x01000193);
  return [up, down].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}

/** Left: `InvalidFile` for the first surrogate that was made for a model with another fingerprint. */
export function checkFingerprints(name: string, fingerprint: string, files: ReadonlyArray<Safetensors>): E.Either<KvError, void> {
  const other = files.find(({ metadata }) => (metadata.get(FINGERPRINT) ?? fingerprint) !== fingerprint);
  return other === undefined ? E.right(undefined) : E.left({
    _tag: "InvalidFile",
    file: other.file,
    at: FINGERPRINT,
    found: `${other.metadata.get(FINGERPRINT)} (${other.metadata.get("model") ?? "a model without a name"})`,
    allowed: `${fingerprint}, that of ${name}`,
  });
}
