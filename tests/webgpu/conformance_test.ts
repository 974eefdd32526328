/** Every op of the table on WebGPU against the reference, on the adapter of this machine, with and without each optional feature it has. */
import { assertEquals } from "@std/assert";
import type { Backend } from "../../backends/backend.ts";
import { type OpName, opNames } from "../../backends/ops.ts";
import { shaders } from "../../backends/webgpu/_shaders.ts";
import { allFeatures } from "../../backends/webgpu/device.ts";
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { hasVariant } from "../../backends/webgpu/pipelines.ts";
import { casesFor, runConformance } from "../../conformance/mod.ts";
import { orThrow } from "../../run/mod.ts";
import { adapterFeatures, adapterName, withoutAdapter } from "../support/webgpu.ts";

/** Runs the cases of these ops. */
async function conform(t: Deno.TestContext, backend: Backend, tried: ReadonlyArray<OpName>): Promise<void> {
  for (const op of tried) {
    const cases = casesFor(backend, op).length;
    await t.step(`${op}: ${cases} cases agree with the reference`, async () => {
      const report = await orThrow(runConformance(backend, { ops: [op] }));
      assertEquals(report.failed.map(({ label, failures }) => `${label}: ${failures.join("; ")}`), []);
      assertEquals(report.cases, { [op]: cases });
    });
  }
}

Deno.test({ name: `conformance of webgpu (${adapterName || "no adapter"})`, ignore: withoutAdapter }, async (t) => {
  await using backend = await orThrow(openWebGpu());
  const missing = opNames.filter((op) => !backend.supports(op));
  if (missing.length > 0) console.log(`NOT RUN on webgpu, which lacks them: ${missing.join(", ")}`);
  await conform(t, backend, opNames.filter((op) => backend.supports(op)));
});

for (const feature of allFeatures) {
  Deno.test(
    { name: `conformance of webgpu without ${feature}, where the adapter has it`, ignore: !adapterFeatures.has(feature) },
    async (t) => {
      await using backend = await orThrow(openWebGpu({ features: allFeatures.filter((other) => other !== feature) }));
      await conform(t, backend, opNames.filter((op) => Object.hasOwn(shaders, op) && hasVariant(op as keyof typeof shaders, feature)));
    },
  );
}
