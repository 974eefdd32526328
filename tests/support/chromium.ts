/**
 * Tests in the browser that `tools/chromium.ts` finds.
 * @module
 */
import type { Browser } from "playwright-core";
import { launchChromium, noChromium } from "../../tools/chromium.ts";

const missing = await noChromium();

/** Switches for WebGPU in software, whatever hardware there is. */
export const swiftShader: ReadonlyArray<string> = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** One test with a browser; skipped loudly where there is none. */
export function inBrowser(
  name: string,
  what: string,
  body: (browser: Browser, t: Deno.TestContext) => Promise<void>,
  args: ReadonlyArray<string> = [],
): void {
  if (missing !== null) console.warn(`${what} was not tried in a browser: ${missing}.`);
  Deno.test({
    name: `browser: ${name}${missing === null ? "" : ` (SKIPPED: ${missing})`}`,
    ignore: missing !== null,
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
