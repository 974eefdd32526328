/** A device that goes away while a text is written: the text goes on elsewhere as it would have, and every way out is said aloud. */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { Backend } from "../../backends/backend.ts";
import { openReference } from "../../backends/reference/mod.ts";
import { openWasm } from "../../backends/wasm/mod.ts";
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { type KvError, showError } from "../../cache/error.ts";
import { generate, type GenerateOptions, inductionModel, type Model, openModel, type Recovery, type Step } from "../../model/mod.ts";
import { h2o, keepAll, parsePolicy } from "../../papers/mod.ts";
import type { Policy } from "../../policy/types.ts";
import { orThrow } from "../../run/mod.ts";
import { tiny, tinyFile } from "../support/tiny_model.ts";
import { withoutAdapter } from "../support/webgpu.ts";

/** A backend whose device goes away after so many runs. */
function mortal(backend: Backend, runs: number): Backend {
  let left = runs;
  return {
    ...backend,
    run: (prepared, bindings) => () =>
      left-- > 0 ? backend.run(prepared, bindings)() : E.left({ _tag: "DeviceLost", backend: "mortal", because: "its time was up" }),
  };
}

const file = tinyFile(tiny("llama"));
const prompt = Array.from({ length: 40 }, (_, i) => (i * 7) % 90);
const options: GenerateOptions = { tokens: prompt, maxNewTokens: 9, chunk: 16, stop: [] };

async function stepsOf(model: Model, policy: Policy, recovery: Recovery = {}): Promise<ReadonlyArray<Step>> {
  const steps: Step[] = [];
  for await (const step of generate(model, policy, { ...options, ...recovery })) steps.push(step);
  return steps;
}

const idsOf = (steps: ReadonlyArray<Step>): ReadonlyArray<number> => steps.flatMap((step) => step._tag === "Token" ? step.id : []);

for (const text of ["keepall", "h2o(12)", "snapkv(50%, window=4)", "streamingllm(10)|streaming", "tova(9)|every(3)"]) {
  Deno.test(`wherever the device goes away, the text under ${text} is the text without a loss`, async () => {
    const policy = E.getOrElseW(() => keepAll)(parsePolicy(text));
    await using spare = await orThrow(openReference());
    await using other = await orThrow(openModel(spare, file));
    const expected = idsOf(await stepsOf(other, policy));
    for (const runs of [0, 2, 5, 9]) {
      await using inner = await orThrow(openReference());
      await using model = await orThrow(openModel(mortal(inner, runs), file));
      const steps = await stepsOf(model, policy, { onDeviceLost: () => TE.right(other) });
      assertEquals([runs, idsOf(steps)], [runs, expected]);
      assertEquals(steps.map(({ _tag }) => _tag).filter((tag) => tag !== "Token"), ["Resumed", "Done"]);
      assertEquals([inner.liveBytes().buffers, spare.liveBytes().buffers], [0, 0]);
    }
  });
}

Deno.test("a loss without a way out is the last step, one sentence", async () => {
  const said = async (recovery: (model: Model) => Recovery): Promise<string> => {
    await using inner = await orThrow(openReference());
    await using model = await orThrow(openModel(mortal(inner, 4), file));
    const last = (await stepsOf(model, h2o({ rows: 12 }), recovery(model))).at(-1);
    assertEquals(inner.liveBytes().buffers, 0);
    return last?._tag === "Failed" ? showError(last.error) : `${last?._tag}`;
  };
  assertEquals(await said(() => ({})), "backend mortal lost its device: its time was up");
  assertEquals(await said((model) => ({ onDeviceLost: () => TE.right(model) })), "backend mortal lost its device: its time was up");
  const none: KvError = { _tag: "NoDevice", backend: "wasm-fast", because: "there is no SharedArrayBuffer here" };
  assertEquals(
    await said(() => ({ onDeviceLost: () => TE.left(none) })),
    "backend wasm-fast cannot be opened: there is no SharedArrayBuffer here",
  );
  await using spare = await orThrow(openReference());
  await using stranger = await orThrow(openModel(spare, inductionModel()));
  assertEquals(
    await said(() => ({ onDeviceLost: () => TE.right(stranger) })),
    'argument onDeviceLost: found "induction with 258 tokens", allowed is the same model, tiny with 288 tokens',
  );
});

Deno.test({
  name: "webgpu: a device destroyed while a text is written is DeviceLost, and Wasm writes the rest",
  ignore: withoutAdapter,
  fn: async () => {
    const adapter = await navigator.gpu.requestAdapter();
    assert(adapter !== null);
    const device = await adapter.requestDevice();
    await using webgpu = await orThrow(openWebGpu({ device }));
    await using model = await orThrow(openModel(webgpu, inductionModel()));
    await using wasm = await orThrow(openWasm({ build: "simd128" }));
    await using other = await orThrow(openModel(wasm, inductionModel()));
    let [text, said] = ["", ""];
    const asked = { prompt: "red=7341, green=9920, red=", maxNewTokens: 4, onDeviceLost: () => TE.right(other) };
    for await (const step of generate(model, keepAll, asked)) {
      text += step.text;
      if (step._tag === "Token" && step.index === 1) device.destroy();
      if (step._tag === "Resumed") said = `${step.because.backend} to ${step.backend} after ${step.tokens}`;
    }
    assertEquals([text, said], ["7341", "webgpu to wasm-simd128 after 2"]);
  },
});
