/**
 * Text under a policy, step by step, on the model that is built in. With a path as argument, on a GGUF file of yours:
 * `deno run -A examples/generate_with_a_policy.ts model.gguf`.
 * @module
 */
import { orThrow } from "../mod.ts";
import { generate, inductionModel, openModel } from "../model/mod.ts";
import { keepAll, streamingLlm } from "../papers/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";

await using backend = await orThrow(openWasm());
await using model = await orThrow(openModel(backend, Deno.args[0] ?? inductionModel()));

const prompt = "red=7341, green=9920, blue=2206, pink=5518, red=";
for (const policy of [keepAll, streamingLlm({ rows: 16 })]) {
  let text = "";
  for await (const step of generate(model, policy, { prompt, maxNewTokens: 4 })) {
    if (step._tag === "Failed") throw new Error(step.error._tag);
    text += step.text;
    if (step._tag === "Done") console.log(`${policy.text}: "${text}" from ${step.cache.rows} rows, ${step.cache.bytes} bytes`);
  }
}
