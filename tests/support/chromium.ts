/**
 * The browser that tests drive: Debian's Chromium, or the one that `CHROMIUM` names.
 * @module
 */
import { type Browser, chromium } from "playwright-core";

const executable = Deno.env.get("CHROMIUM") ?? "/usr/bin/chromium";
const found = await Deno.stat(executable).then((info) => info.isFile, () => false);

/** Switches for WebGPU in software, whatever hardware there is. */
export const swiftShader: ReadonlyArray<string> = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** One test with a browser; skipped loudly where there is none. */
export function inBrowser(
  name: string,
  what: string,
  body: (browser: Browser, t: Deno.TestContext) => Promise<void>,
  args: ReadonlyArray<string> = [],
): void {
  if (!found) console.warn(`${what} was not tried in a browser: no Chromium at ${executable}. Set CHROMIUM to its path.`);
  const skipped = found ? "" : ` (SKIPPED: no Chromium at ${executable}; set CHROMIUM)`;
  Deno.test({
    name: `browser: ${name}${skipped}`,
    ignore: !found,
    fn: async (t) => {
      const browser = await chromium.launch({ executablePath: executable, args: ["--no-sandbox", ...args] });
      try {
        await body(browser, t);
      } finally {
        await browser.close();
      }
    },
  });
}
