/**
 * What the tests of `examples/page` share: a visitor.
 * @module
 */
import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Browser, Page } from "playwright-core";
import { buildPage, servePage } from "../../tools/page.ts";

/** The page, served, with every error that its console or its scripts gave. */
export async function visiting(
  browser: Browser,
  headers: Readonly<Record<string, string>>,
  body: (page: Page, errors: ReadonlyArray<string>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await buildPage(folder);
    await using server = servePage(folder, 0, headers);
    const page = await browser.newPage({ viewport: { width: 360, height: 800 } });
    // Shaders in software are slow to build on a busy machine.
    page.setDefaultTimeout(120_000);
    const errors: string[] = [];
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    await page.waitForSelector("#go:enabled");
    await body(page, errors);
    assertEquals(errors, []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Presses the button and waits until everything that was asked for has ended. */
export async function ask(page: Page, policy: string): Promise<void> {
  await page.fill("#policy", policy);
  await page.press("#policy", "Enter");
  await page.waitForSelector(`#answers li[data-phase="done"] button:text-is("${policy}")`);
  await page.waitForSelector("#go:enabled");
}

/** Gives the page a model file. */
export const choose = (page: Page, name: string, bytes: Uint8Array): Promise<void> =>
  page.setInputFiles("#file", { name, mimeType: "application/octet-stream", buffer: Buffer.from(bytes) });

/** Texts of everything that a selector finds. */
export const texts = (page: Page, selector: string): Promise<ReadonlyArray<string>> => page.locator(selector).allInnerTexts();
