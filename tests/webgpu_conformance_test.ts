/** Every op that WebGPU has, against the reference, on the adapter of this machine. */
import { assertEquals } from "@std/assert";
import { opNames } from "../backends/ops.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";
import { casesOf, runConformance } from "../conformance/mod.ts";
import { orThrow } from "../run/mod.ts";
import { adapterName, withoutAdapter } from "./support/webgpu.ts";

Deno.test({ name: `conformance of webgpu (${adapterName || "no adapter"})`, ignore: withoutAdapter }, async (t) => {
  await using backend = await orThrow(openWebGpu());
  for (const op of opNames.filter((op) => backend.supports(op))) {
    const cases = casesOf(op).length;
    await t.step(`${op}: ${cases} cases agree with the reference, fences stand, memory returns`, async () => {
      const report = await orThrow(runConformance(backend, { ops: [op] }));
      assertEquals(report.cases, { [op]: cases });
      assertEquals(report.failed.map(({ label, failures }) => `${label}: ${failures.join("; ")}`), []);
    });
  }
});
