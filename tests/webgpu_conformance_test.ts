/** Every op that WebGPU has, against the reference, on the adapter of this machine. */
import { assertEquals } from "@std/assert";
import { opNames } from "../backends/ops.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";
import { casesOf, runConformance } from "../conformance/mod.ts";
import { orThrow } from "../run/mod.ts";
import { adapterName, refusedForCodec, withoutAdapter } from "./support/webgpu.ts";

Deno.test({ name: `conformance of webgpu (${adapterName || "no adapter"})`, ignore: withoutAdapter }, async (t) => {
  await using backend = await orThrow(openWebGpu());
  for (const op of opNames.filter((op) => backend.supports(op))) {
    const cases = casesOf(op).length;
    await t.step(`${op}: ${cases} cases agree with the reference or are refused for their codec`, async () => {
      const report = await orThrow(runConformance(backend, { ops: [op] }));
      assertEquals(report.cases, { [op]: cases });
      const failed = report.failed.map(({ label, failures }) => `${label}: ${failures.join("; ")}`);
      const refused = failed.filter(refusedForCodec);
      if (refused.length > 0) {
        console.log(`${op}: ${refused.length} of ${cases} cases have rows of q8, q4 or q2, which webgpu refuses by name`);
      }
      assertEquals(failed.filter((one) => !refusedForCodec(one)), []);
    });
  }
});
