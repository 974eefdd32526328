/**
 * What the papers promise, on every backend; `tests/webgpu/papers_test.ts` and `tests/browser/webgpu_test.ts` run the same checks on graphics devices.
 * @module
 */
import { assertEquals } from "@std/assert";
import { paperChecks } from "./papers_checks.ts";
import { onEveryBackend } from "./support.ts";

for (const { name, run } of paperChecks) {
  onEveryBackend(name, async (memory) => {
    const { found, expected } = await run(memory);
    assertEquals(found, expected);
  });
}
