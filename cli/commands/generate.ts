/**
 * `kvfold generate`: text from a model under a policy.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import { continueFrom, generate as generateOf, type Prompt } from "../../model/generate.ts";
import type { Step } from "../../model/steps.ts";
import { keepAll, parsePolicy } from "../../papers/mod.ts";
import type { Policy } from "../../policy/types.ts";
import type { Command } from "../command.ts";
import { CACHE_FILES, type Saved, sessionFor } from "../cache_files.ts";
import { readText } from "../files.ts";
import type { Io } from "../io.ts";
import { RUNNING, withModel } from "../models.ts";
import { all, decimal, type Given, invalid, MANY, required, whole } from "../options.ts";
import { CHUNK, chunkOf, CODEC, dtypeOf, MODEL, POLICY } from "../shared.ts";
import { grouped, megabytes } from "../table.ts";

/** The command. */
export const generate: Command = {
  name: "generate",
  summary: "continues a prompt with a cache that a policy has made smaller",
  about: "Prints the text as it comes. Without --temperature every token is the likeliest one; with it, the same seed gives the same text.",
  options: [
    MODEL,
    { name: "prompt", kind: "text", value: "TEXT", about: "the text that is continued" },
    { name: "prompt-file", kind: "text", value: "FILE", about: "the same, from a file" },
    { name: "chat", kind: "flag", about: "the prompt is a message to the model, by its chat template" },
    POLICY,
    { name: "max-new-tokens", kind: "text", value: "N", about: "longest continuation (128)" },
    { name: "temperature", kind: "text", value: "X", about: "0 to 10: how freely tokens are drawn (0)" },
    { name: "top-k", kind: "text", value: "N", about: "draw from the N likeliest tokens only (all)" },
    { name: "top-p", kind: "text", value: "X", about: "draw from the likeliest tokens that make up this probability (1)" },
    { name: "seed", kind: "text", value: "N", about: "of the draws (0)" },
    ...CACHE_FILES,
    CODEC,
    CHUNK,
    ...RUNNING,
  ],
  examples: [{
    line: "generate --model SmolLM2-135M-Instruct --chat --prompt 'Why is the sky blue?' --policy 'streamingllm(64)|streaming'",
    does: "answers with a cache that never holds more than 64 rows per head and the chunk being read",
  }, {
    line: "generate --model SmolLM2-135M-Instruct --load-cache book.kv --prompt ' In short,'",
    does: "goes on from a cache that --save-cache wrote in another run, without reading its text again",
  }],
  run: (given, io) => async () => {
    const options = all({
      model: required(given, "model", MODEL.about),
      policy: policyOf(given),
      maxNewTokens: whole(given, "max-new-tokens", { from: 1, to: MANY }, 128),
      temperature: decimal(given, "temperature", { from: 0, to: 10 }, 0),
      topK: whole(given, "top-k", { from: 1, to: MANY }, 0),
      topP: decimal(given, "top-p", { from: 1e-6, to: 1 }, 1),
      seed: whole(given, "seed", { from: 0, to: MANY }, 0),
      codec: dtypeOf(given, "f16"),
      chunk: chunkOf(given),
    });
    if (E.isLeft(options)) return options;
    const prompt = await promptOf(given);
    if (E.isLeft(prompt)) return prompt;
    const { model: name, policy, maxNewTokens, codec, chunk, ...sampling } = options.right;
    return await withModel(given, io, name, (model, called, onDeviceLost) => async () => {
      const progress = (tokens: number): void => io.progress("reading the prompt", tokens, null);
      const about = { model: called, backend: model.backend.name };
      if (given.text("save-cache") === null && given.text("load-cache") === null && prompt.right !== null) {
        const by = policy ?? keepAll;
        const steps = generateOf(model, by, { ...prompt.right, maxNewTokens, codec, chunk, sampling, progress, onDeviceLost });
        return await write(steps, given.flag("json"), { ...about, policy: by.text }, io);
      }
      const ready = await sessionFor(given, io, model, { prompt: prompt.right, policy, codec, chunk, progress })();
      if (E.isLeft(ready)) return ready;
      const { session, saved } = ready.right;
      const steps = continueFrom(session, { maxNewTokens, sampling });
      return await write(steps, given.flag("json"), { ...about, policy: session.plan.text, ...saved === null ? {} : { saved } }, io);
    })();
  },
};

const policyOf = (given: Given): E.Either<KvError, Policy | null> => {
  const text = given.text("policy");
  return text === null ? E.right(null) : parsePolicy(text);
};

/** What is continued; null where a loaded cache is all there is. */
async function promptOf(given: Given): Promise<E.Either<KvError, Prompt | null>> {
  const [direct, path] = [given.text("prompt"), given.text("prompt-file")];
  if (direct === null && path === null && given.text("load-cache") !== null) return E.right(null);
  if ((direct === null) === (path === null)) {
    return invalid("--prompt", direct ?? "nothing", "either --prompt TEXT or --prompt-file FILE");
  }
  const text = path === null ? E.right(direct ?? "") : await readText("--prompt-file", path)();
  return E.map((content: string): Prompt => given.flag("chat") ? { messages: [{ role: "user", content }] } : { prompt: content })(text);
}

/** Writes the text as it comes, or one JSON object at the end. */
async function write(
  steps: AsyncIterable<Step>,
  json: boolean,
  about: Readonly<Record<"model" | "backend" | "policy", string>> & { readonly saved?: Saved },
  io: Io,
): Promise<E.Either<KvError, void>> {
  let text = "";
  let backend = about.backend;
  for await (const step of steps) {
    if (step._tag === "Failed") return E.left(step.error);
    if (step._tag === "Resumed") backend = step.backend;
    text += step.text;
    if (!json && step.bytes.length > 0) {
      io.clear();
      io.out(step.bytes);
    }
    if (step._tag !== "Done") continue;
    const { tokens, reason, cache } = step;
    if (json) io.out(`${JSON.stringify({ ...about, backend, tokens, reason, rowsKept: cache.rows, bytes: cache.bytes, text })}\n`);
    else {
      io.out("\n");
      io.note(
        `${grouped(tokens)} tokens under ${about.policy} on ${backend}; the cache holds ${grouped(cache.rows)} rows in ${
          megabytes(cache.bytes)
        } MB`,
      );
    }
  }
  return E.right(undefined);
}
