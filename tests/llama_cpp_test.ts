import { assert, assertEquals } from "@std/assert";
import type { WeightType } from "../backends/backend.ts";
import { orThrow } from "../run/mod.ts";
import { backends, type NamedBackend, roundingBuilds } from "./support/backends.ts";
import { type Closeness, closeness } from "./support/forward.ts";
import { exactCases, type ForwardCase, type ForwardGolden, readGolden, sha256, typedCases } from "./support/golden.ts";
import { f32, writeGguf } from "./support/gguf_writer.ts";
import { tiny, tinyFile, tinyInput } from "./support/tiny_model.ts";

const golden = await readGolden<ForwardGolden>("forward");

/** The case's stored rows, once its file is known to be the one that llama.cpp read. */
async function compare(backend: NamedBackend, { name, options, tokens, at }: ForwardCase): Promise<ReadonlyArray<Closeness>> {
  const file = tinyFile(options);
  const stored = golden.cases.find((c) => c.name === name);
  assertEquals(await sha256(new Uint8Array(file)), stored?.sha256, "another file than the golden one: run deno task golden");
  await using opened = await orThrow(backend.open());
  return await closeness(opened, file, tokens, stored?.rows.map((row, i) => ({ ...row, at: at[i] ?? 0 })) ?? [], null);
}

/** Most NMSE against F32 arithmetic: the reference sums in f64, llama.cpp and the Wasm builds in f32, in other orders. */
const exactLimit: Readonly<Record<NamedBackend["name"], number>> = { "reference": 1e-6, "wasm-simd128": 1e-5, "wasm-fast": 1e-5 };

/** Most NMSE by block type. llama.cpp rounds activations to f16, bf16 or 8-bit blocks before these products, so what is measured is
 * its rounding, on random weights, where nothing averages out. */
const typedLimit = (type: WeightType): number => type === "F32" ? 1e-5 : type === "F16" ? 1e-5 : type === "BF16" ? 1e-3 : 1e-2;

for (const backend of backends) {
  for (const forward of exactCases) {
    Deno.test(`${backend.name} gives llama.cpp's logits: ${forward.name}`, async () => {
      const rows = await compare(backend, forward);
      assert(rows.length > 0 && rows.every(({ nmse, sameTop }) => nmse <= exactLimit[backend.name] && sameTop), JSON.stringify(rows));
    });
  }
  for (const forward of typedCases) {
    Deno.test(`${backend.name} gives llama.cpp's logits: ${forward.name} blocks`, async () => {
      const rows = await compare(backend, forward);
      assert(rows.length > 0 && rows.every(({ nmse }) => nmse <= typedLimit(forward.options.type)), JSON.stringify(rows));
    });
  }
}

/** The same where activations are rounded to 8 bits, as llama.cpp rounds them for these types: the order of f32 sums is left. It rounds for the
 * other types per 256 inputs, and Q4_0, which it puts in another order first, is off by 2e-4. */
const roundedLimit = (type: WeightType): number => ["Q8_0", "Q4_1", "Q5_0", "Q5_1"].includes(type) ? 1e-9 : typedLimit(type);

for (const backend of roundingBuilds) {
  for (const forward of typedCases) {
    Deno.test(`${backend.name} with activations of 8 bits gives llama.cpp's logits: ${forward.name} blocks`, async () => {
      const rows = await compare(backend, forward);
      assert(rows.length > 0 && rows.every(({ nmse }) => nmse <= roundedLimit(forward.options.type)), JSON.stringify(rows));
    });
  }
}

Deno.test("the comparison is sharp: another rotary base of the same weights is far outside the tolerance", async () => {
  const forward = exactCases.find((c) => c.name === "llama, 12 tokens");
  const stored = golden.cases.find((c) => c.name === "llama, 12 tokens");
  assert(forward !== undefined && stored !== undefined);
  const input = tinyInput(tiny("llama"));
  const changed = input.metadata.map(([key, meta]) => [key, key === "llama.rope.freq_base" ? f32(20000) : meta] as const);
  const [backend] = backends;
  assert(backend !== undefined);
  await using opened = await orThrow(backend.open());
  const golden12 = stored.rows.map((row, i) => ({ ...row, at: forward.at[i] ?? 0 }));
  const rows = await closeness(opened, writeGguf({ ...input, metadata: changed }), forward.tokens, golden12, null);
  assert(rows.every(({ nmse }) => nmse > 1e-4), JSON.stringify(rows));
});
