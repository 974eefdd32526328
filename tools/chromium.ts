/**
 * The browser that tests and benches drive: Debian's Chromium, or the one that `CHROMIUM` names.
 * @module
 */
import { type Browser, chromium } from "playwright-core";

const executable = Deno.env.get("CHROMIUM") ?? "/usr/bin/chromium";

/** Null where the browser is there, else one clause that says what to do. */
export async function noChromium(): Promise<string | null> {
  const found = await Deno.stat(executable).then((info) => info.isFile, () => false);
  return found ? null : `no Chromium at ${executable}; set CHROMIUM to its path`;
}

/** Starts the browser. */
export const launchChromium = (args: ReadonlyArray<string> = []): Promise<Browser> =>
  chromium.launch({ executablePath: executable, args: ["--no-sandbox", ...args] });
