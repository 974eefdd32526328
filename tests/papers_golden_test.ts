/**
 * What the papers promise, on every backend. `tests/browser/webgpu_test.ts` runs the same checks in a browser.
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
