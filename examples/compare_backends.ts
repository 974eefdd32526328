/**
 * The same model, policy and prompt on every backend: the numbers agree, the speeds do not.
 * Run with `deno run -A examples/compare_backends.ts`.
 * @module
 */
import { openReference, orThrow } from "../mod.ts";
import { inductionModel, openModel, prefill } from "../model/mod.ts";
import { snapKv } from "../papers/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";

const tokens = [...new TextEncoder().encode("she sells sea shells by the sea shore, and the shells she sells are sea shells ".repeat(2))];
const openers = [openReference(), openWasm({ build: "simd128" }), openWasm({ build: "fast", threads: 2 })];

let reference: Float32Array | null = null;
for (const open of openers) {
  await using backend = await orThrow(open);
  await using model = await orThrow(openModel(backend, inductionModel()));
  const start = performance.now();
  const { logits } = await orThrow(prefill(model, snapKv({ rows: 48, window: 16 }))(tokens));
  const seconds = (performance.now() - start) / 1000;
  reference ??= logits;
  const apart = logits.reduce((most, x, i) => Math.max(most, Math.abs(x - (reference?.[i] ?? 0))), 0);
  console.log(
    `${backend.name.padEnd(12)}  ${(tokens.length / seconds).toFixed(0).padStart(6)} tokens/s  largest difference ${
      apart.toExponential(1)
    }`,
  );
}
