/**
 * What the papers promise, on WebGPU.
 * @module
 */
import { assertEquals } from "@std/assert";
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { openMemory, orThrow } from "../../run/mod.ts";
import { paperChecks } from "../papers_checks.ts";
import { adapterName, withoutAdapter } from "../support/webgpu.ts";

// All on one device, because opening one and compiling its shaders take longer than a check.
Deno.test({ name: `what the papers promise, on webgpu (${adapterName || "no adapter"})`, ignore: withoutAdapter }, async (t) => {
  await using backend = await orThrow(openWebGpu());
  for (const { name, run } of paperChecks) {
    await t.step(name, async () => {
      using memory = openMemory(backend);
      const { found, expected } = await run(memory);
      assertEquals(found, expected);
    });
  }
});
