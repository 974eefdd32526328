/**
 * Tests in the browser that `tools/chromium.ts` finds.
 * @module
 */
import type { Browser } from "playwright-core";
import { launchChromium, noChromium } from "../../tools/chromium.ts";

const missing = await noChromium();

/** Switches for WebGPU in software, whatever hardware there is. */
export const swiftShader: ReadonlyArray<string> = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** One test with a browser; skipped loudly where there is none, or where `lacking` names something else that it needs. */
export function inBrowser(
  name: string,
  what: string,
  body: (browser: Browser, t: Deno.TestContext) => Promise<void>,
  args: ReadonlyArray<string> = [],
  lacking: string | null = null,
): void {
  const because = missing ?? lacking;
  if (because !== null) console.warn(`${what} was not tried in a browser: ${because}.`);
  Deno.test({
    name: `browser: ${name}${because === null ? "" : ` (SKIPPED: ${because})`}`,
    ignore: because !== null,
    fn: async (t) => {
      const browser = await launchChromium(args);
      try {
        await body(browser, t);
      } finally {
        await browser.close();
      }
    },
  });
}
