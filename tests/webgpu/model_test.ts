/** Models on WebGPU next to other backends: the same text, the same rows. */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Backend } from "../../backends/backend.ts";
import { openReference } from "../../backends/reference/mod.ts";
import { openWasm } from "../../backends/wasm/mod.ts";
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { type KvError, showError } from "../../cache/error.ts";
import {
  disposeSession,
  inductionModel,
  type Model,
  type ModelFile,
  type ModelOptions,
  openModel,
  prefill,
  promptTokens,
  readModelFile,
  step,
} from "../../model/mod.ts";
import { shippedSurrogates } from "../../model/shipped.ts";
import { keepAll, parsePolicy } from "../../papers/mod.ts";
import type { Policy } from "../../policy/types.ts";
import { orThrow, readPositions } from "../../run/mod.ts";
import { realModel } from "../support/real_model.ts";
import { withoutAdapter } from "../support/webgpu.ts";

const file = await realModel();

const right = <A>(result: E.Either<KvError, A>): A => {
  if (E.isLeft(result)) throw new Error(showError(result.left));
  return result.right;
};

/** One step of a greedy continuation: the token, and how far the likeliest is ahead of the next. */
interface Chosen {
  readonly token: number;
  readonly gap: number;
}

/** So many greedy tokens. */
async function continuation(model: Model, tokens: ReadonlyArray<number>, count: number): Promise<ReadonlyArray<Chosen>> {
  let session = await orThrow(prefill(model, keepAll)(tokens));
  const chosen: Chosen[] = [];
  while (chosen.length < count) {
    const [first = NaN, second = NaN] = session.logits.toSorted().reverse();
    const token = session.logits.indexOf(first);
    chosen.push({ token, gap: first - second });
    session = await orThrow(step(token)(session));
  }
  await orThrow(disposeSession(session));
  return chosen;
}

/** Logits that the best two may be apart where backends part. */
const margin = 0.05;

const prompts = ["Why is the sky blue?", "Write a short story about a lighthouse keeper and a storm."] as const;

for (const content of prompts) {
  Deno.test({
    name: `SmolLM2 on webgpu, asked "${content}": 64 greedy tokens are those of Wasm up to a step whose best two lie within ${margin}`,
    ignore: withoutAdapter || file === null,
    fn: async () => {
      const source = file ?? new Uint8Array();
      const onBackend = async (backend: Backend): Promise<ReadonlyArray<Chosen>> => {
        await using model = await orThrow(openModel(backend, source));
        const tokens = right(promptTokens(model, { messages: [{ role: "user", content }] }));
        return await continuation(model, tokens, 64);
      };
      await using wasm = await orThrow(openWasm());
      await using webgpu = await orThrow(openWebGpu());
      const [expected, actual] = [await onBackend(wasm), await onBackend(webgpu)];
      const parting = expected.findIndex(({ token }, i) => token !== actual[i]?.token);
      const where = expected[parting];
      assert(where === undefined || where.gap < margin, `they part at step ${parting}, where the gap is ${where?.gap}`);
    },
  });
}

/** Positions that each head of each layer keeps of a prompt. */
async function keptBy(
  backend: Backend,
  model: ModelFile | Uint8Array,
  policy: Policy,
  tokens: ReadonlyArray<number>,
  options: ModelOptions = {},
): Promise<ReadonlyArray<ReadonlyArray<number>>> {
  await using opened = await orThrow(openModel(backend, model, options));
  const session = await orThrow(prefill(opened, policy)(tokens));
  const rows = await orThrow(readPositions(opened.memory)(session.cache));
  await orThrow(disposeSession(session));
  return rows.flatMap((heads) => heads.map((positions) => [...positions]));
}

type Kept = (backend: Backend, policy: string) => Promise<ReadonlyArray<ReadonlyArray<number>>>;

Deno.test({
  name: "induction model on webgpu: policies keep the rows that the reference keeps, or others of the same tokens",
  ignore: withoutAdapter,
  fn: async () => {
    const tokens = Array.from({ length: 96 }, (_, i) => 32 + (i * i) % 60);
    await using reference = await orThrow(openReference());
    await using webgpu = await orThrow(openWebGpu());
    const kept: Kept = (backend, policy) => keptBy(backend, inductionModel(), right(parsePolicy(policy)), tokens);
    for (const text of ["streamingllm(24)|streaming", "knorm(50%)", "tova(20)"]) {
      assertEquals([text, await kept(webgpu, text)], [text, await kept(reference, text)]);
    }
    // Rows of one token gather the same mass, and rounding decides between them.
    const tokensOf = (rows: ReadonlyArray<number>): ReadonlyArray<number> => rows.map((position) => tokens[position] ?? NaN).sort();
    const [expected, actual] = [await kept(reference, "snapkv(50%)"), await kept(webgpu, "snapkv(50%)")];
    assertEquals(actual.map(tokensOf), expected.map(tokensOf));
  },
});

Deno.test({
  name: "SmolLM2 on webgpu: KVzap, SnapKV and StreamingLLM keep the rows that Wasm keeps",
  ignore: withoutAdapter || file === null,
  fn: async () => {
    const model = await orThrow(readModelFile("SmolLM2", file ?? new Uint8Array()));
    const options: ModelOptions = { surrogates: await orThrow(shippedSurrogates(model)) };
    const text =
      "Salt keeps meat because water leaves it: bacteria need water, and brine draws it out of them too. Sugar does the same to fruit. " +
      "Smoke adds acids, cold slows everything down, and a tin without air starves what is left. Which of these came first?";
    const tokens = right(model.tokenizer()).encode(text);
    await using wasm = await orThrow(openWasm());
    await using webgpu = await orThrow(openWebGpu());
    const kept: Kept = (backend, policy) => keptBy(backend, model, right(parsePolicy(policy)), tokens, options);
    // The window that KVzap has by default would hold the whole text.
    for (const text of ["streamingllm(24)", "snapkv(75%)", "kvzap(-4, window=16)"]) {
      assertEquals([text, await kept(webgpu, text)], [text, await kept(wasm, text)]);
    }
  },
});
