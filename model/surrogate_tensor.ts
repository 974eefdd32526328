/**
 * One tensor of a file of networks: there, of the shape this model wants, finite.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { invalidFile, type KvError } from "../cache/error.ts";
import { type Safetensors, type SafetensorsTensor, tensorNumbers } from "./safetensors.ts";

/** The tensor of this name, or an `InvalidFile` that names it. */
export function checked(file: Safetensors, name: string, shape: ReadonlyArray<number>): E.Either<KvError, SafetensorsTensor> {
  const tensor = file.tensors.get(name);
  const [at, wanted] = [`tensor ${name}`, `${shape.join(" x ")} for this model`];
  if (tensor === undefined) return E.left(invalidFile(file, at, "no such tensor", wanted));
  if (tensor.shape.join() !== shape.join() || shape.includes(0)) return E.left(invalidFile(file, at, tensor.shape.join(" x "), wanted));
  const bad = tensorNumbers(tensor).find((x) => !Number.isFinite(x));
  return bad === undefined ? E.right(tensor) : E.left(invalidFile(file, at, String(bad), "finite numbers"));
}
