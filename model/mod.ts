/**
 * Models: GGUF files into a backend, prompts into a pruned cache, tokens out of it.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { keepAll, streamingLlm } from "../papers/mod.ts";
 * import { orThrow } from "../run/mod.ts";
 * import { continueFrom, extend, inductionModel, openModel, prefill } from "./mod.ts";
 *
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const ids = (text: string) => [...new TextEncoder().encode(text)];
 * const answers: string[] = [];
 * for (const policy of [keepAll, streamingLlm({ rows: 16 })]) {
 *   const document = await orThrow(prefill(model, policy)([256, ...ids("red=7341, green=9920, blue=2206, ")]));
 *   const asked = await orThrow(extend(ids("red="))(document));
 *   let text = "";
 *   for await (const step of continueFrom(asked, { maxNewTokens: 4 })) text += step.text;
 *   answers.push(text);
 * }
 * assertEquals(answers, ["7341", "2206"]); // the row it needed is out of a window of 16: the nearest key answers
 * ```
 * @module
 */
export { type Model, type ModelOptions, openModel } from "./model.ts";
export {
  disposeSession,
  type EndOptions,
  endPrompt,
  extend,
  forkSession,
  observePrompt,
  planFor,
  prefill,
  type PrefillOptions,
  rereadPrompt,
  type Session,
  step,
} from "./session.ts";
export { type LoadOptions, loadSession, type SaveOptions, saveSession } from "./cache_file.ts";
export { readTransforms, type Stream, streams, type Transform, type Transforms } from "./transform.ts";
export type { Coding } from "./transform_split.ts";
export type { Fingerprint } from "./cache_identity.ts";
export { type Forced, forced, forcedReads, logitsOver } from "./forced.ts";
export { continueFrom, type DecodeOptions, generate, type GenerateOptions, type Prompt, promptTokens, type Recovery } from "./generate.ts";
export type { Answer, Answered } from "./answer.ts";
export type { CacheState, DeviceLost, Step } from "./steps.ts";
export { argmax, checkSampling, greedy, sample, type Sampling } from "./sample.ts";
export { inductionModel } from "./induction.ts";
export { decodedModel } from "./decoded.ts";
export { readModelFile } from "./model_file.ts";
export { type GgufFile, type GgufTensor, type GgufValue, type NumberType, parseGguf } from "./gguf.ts";
export type { Programs } from "./programs.ts";
export type { Architecture, Message, ModelFile, ModelSpec, ModelTensor, Tokenizer } from "./types.ts";
export {
  readSafetensors,
  type Safetensors,
  type SafetensorsTensor,
  type SafetensorsType,
  tensorNumbers,
  type TensorToWrite,
  writeSafetensors,
} from "./safetensors.ts";
export { readSurrogate, type Surrogate, surrogateName } from "./surrogate.ts";
export { NORMS, normsDigest } from "./norms.ts";
export { shippedSurrogates, shippedTransforms } from "./shipped.ts";
export { type ChatParts, chatParts } from "./chat_parts.ts";
export { reconstruct, type ReconstructOptions, type RowScores, type Whole } from "./reconstruct.ts";
export type { Scoring } from "./reconstruct_plan.ts";
