/**
 * What the tests of generation share: a model on every backend, texts as ids, generations as plain data.
 * @module
 */
import { showError } from "../cache/error.ts";
import {
  type DecodeOptions,
  generate,
  type GenerateOptions,
  inductionModel,
  type Model,
  type ModelFile,
  openModel,
  type Step,
} from "../model/mod.ts";
import { adaKv, h2o, keepAll, keyDiff, knorm, pyramidKv, snapKv, streamingLlm, tova } from "../papers/mod.ts";
import { decoding, everySteps, pipe, type Policy, streaming } from "../policy/mod.ts";
import { orThrow } from "../run/mod.ts";
import { backends, numbers } from "./support.ts";

/** One test per backend with an open model; at its end the backend must hold nothing but what the test leaves open on purpose. */
export function onEveryModel(
  name: string,
  body: (model: Model) => Promise<void>,
  file: () => ModelFile | Uint8Array = inductionModel,
): void {
  for (const { name: backendName, open } of backends) {
    Deno.test(`${name} (${backendName})`, async () => {
      await using backend = await open();
      await using model = await orThrow(openModel(backend, file()));
      await body(model);
    });
  }
}

/** Beginning of text, then the bytes of a text, as ids of the induction model. */
export const begin = (text: string): ReadonlyArray<number> => [256, ...ids(text)];
export const ids = (text: string): ReadonlyArray<number> => [...new TextEncoder().encode(text)];

/** Bytes without a beginning, reproducible from a seed. */
export const randomBytes = (seed: number, length: number): ReadonlyArray<number> =>
  Array.from(numbers(seed, length), (x) => Math.min(255, Math.floor((x + 2) * 64)));

/** Every step of a generation. */
export async function steps(model: Model, policy: Policy, options: GenerateOptions): Promise<ReadonlyArray<Step>> {
  const all: Step[] = [];
  for await (const step of generate(model, policy, options)) all.push(step);
  return all;
}

/** The ids of a generation, which must not fail. */
export async function tokensOf(model: Model, policy: Policy, options: GenerateOptions): Promise<ReadonlyArray<number>> {
  const all = await steps(model, policy, options);
  const failed = all.find((s) => s._tag === "Failed");
  if (failed?._tag === "Failed") throw new Error(showError(failed.error));
  return all.flatMap((s) => s._tag === "Token" ? [s.id] : []);
}

/** The text of a decoding loop. */
export async function textOf(run: AsyncIterable<Step>): Promise<string> {
  let text = "";
  for await (const step of run) text += step.text;
  return text;
}

/** Stops for nothing: random bytes may contain any id. */
export const endless: DecodeOptions = { stop: [] };

/** Every method, at the end of prefill, while decoding, and streaming, with a budget of `rows`. */
export const everyPolicy = (rows: number): ReadonlyArray<Policy> => [
  keepAll,
  ...[streamingLlm({ rows }), knorm({ rows }), keyDiff({ rows }), snapKv({ rows, window: 8 }), tova({ rows }), h2o({ rows })],
  pipe(snapKv({ rows, window: 8 }), adaKv()),
  pipe(snapKv({ rows, window: 8 }), pyramidKv()),
  pipe(knorm({ rows }), decoding),
  pipe(keyDiff({ rows }), everySteps(3)),
  pipe(streamingLlm({ rows }), streaming),
  pipe(knorm({ rows }), streaming),
  pipe(snapKv({ rows, window: 8 }), streaming),
  pipe(h2o({ rows }), streaming),
];
