/**
 * A graphics device can go away at any moment: a driver restarts, a laptop changes its card, a browser takes memory back. The text goes on
 * from its tokens on another backend. Run with `deno run -A examples/survive_device_loss.ts`.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { orThrow, showError } from "../mod.ts";
import { generate, inductionModel, openModel } from "../model/mod.ts";
import { streamingLlm } from "../papers/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";

// Whatever is opened on the way is closed at the end, the last first.
await using held = new AsyncDisposableStack();
const onWasm = pipe(openWasm(), TE.chain((backend) => openModel(held.use(backend), inductionModel())), TE.map((model) => held.use(model)));

// A device of the host's own, so that this script can take it away. Without an adapter the text is written on Wasm from the start.
const device = await (await navigator.gpu?.requestAdapter() ?? null)?.requestDevice();
const webgpu = await openWebGpu(device === undefined ? {} : { device })();
if (E.isLeft(webgpu)) console.log(`${showError(webgpu.left)}: there is nothing to lose, wasm writes all of it`);
const model = E.isLeft(webgpu) ? await orThrow(onWasm) : held.use(await orThrow(openModel(held.use(webgpu.right), inductionModel())));

const prompt = "red=7341, green=9920, blue=2206, red=";
let text = "";
for await (const step of generate(model, streamingLlm({ rows: 64 }), { prompt, maxNewTokens: 4, onDeviceLost: () => onWasm })) {
  text += step.text;
  if (step._tag === "Token" && step.index === 1) device?.destroy();
  if (step._tag === "Resumed") console.log(`${showError(step.because)}; ${step.backend} goes on after ${step.tokens} tokens`);
  if (step._tag === "Failed") console.log(showError(step.error));
}
console.log(`the answer, in two halves: ${text}`);
