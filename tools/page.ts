/**
 * `deno task page`: bundles `examples/page` into `dist/page`, a folder that any static server can serve, and serves it.
 * `--plain` leaves the isolation headers out (one thread then), `--port N` takes another port.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import * as E from "fp-ts/Either.js";
import { SMOLLM2 } from "../cli/catalogue.ts";
import { cacheFolder } from "../cli/files.ts";
import { shippedFiles } from "../model/shipped.ts";
import { bundle, loadedWith, sizeLine } from "./bundle.ts";

const source = new URL("../examples/page/", import.meta.url);
const surrogates = new URL("../surrogates/", import.meta.url);
const dist = new URL("../dist/page/", import.meta.url).pathname;

/** What a page needs to be sent with for its workers to share memory. */
export const isolation: Readonly<Record<string, string>> = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const types: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css",
  js: "text/javascript",
  safetensors: "application/octet-stream",
};

/** Writes the page into a folder; gives the lines that say how large it is. */
export async function buildPage(folder: string): Promise<ReadonlyArray<string>> {
  const files = await bundle({ page: "examples/page/page.ts", worker: "examples/page/worker.ts" }, folder);
  for (const name of ["index.html", "style.css"]) await Deno.copyFile(new URL(name, source), `${folder}/${name}`);
  for (const name of shippedFiles) await Deno.copyFile(new URL(name, surrogates), `${folder}/${name}`);
  return ["page", "worker"].map((name) => sizeLine(`${name}.js and what it imports`, loadedWith(files, `${name}.js`)));
}

/** Serves the files of a folder, and nothing else, on this machine. */
export function servePage(folder: string, port: number, headers: Readonly<Record<string, string>>): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, async (request) => {
    const name = new URL(request.url).pathname.slice(1) || "index.html";
    const type = types[name.slice(name.lastIndexOf(".") + 1)];
    const file = /^[\w.-]+$/.test(name) && type !== undefined ? await Deno.readFile(`${folder}/${name}`).catch(() => null) : null;
    if (file === null || type === undefined) return new Response("There is no such file.", { status: 404 });
    return new Response(file, { headers: { ...headers, "Content-Type": type } });
  });
}

/** What the command line asks for, or what is wrong with it. */
function options(args: ReadonlyArray<string>): { readonly port: number; readonly plain: boolean } | string {
  const unknown: string[] = [];
  const given = parseArgs([...args], { boolean: ["plain"], string: ["port"], unknown: (arg) => (unknown.push(arg), false) });
  const port = Number(given.port ?? "8000");
  if (unknown[0] !== undefined) return `argument ${unknown[0]}: allowed is --plain and --port N`;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    return `argument --port: found "${given.port}", allowed is a whole number to 65535`;
  }
  return { port, plain: given.plain === true };
}

/** The reference model, if it has been fetched before. */
async function modelAtHand(): Promise<string | null> {
  const folder = cacheFolder((name) => Deno.env.get(name));
  const path = E.isRight(folder) ? `${folder.right}/models/${SMOLLM2.file}` : null;
  return path !== null && await Deno.stat(path).then((info) => info.isFile, () => false) ? path : null;
}

async function main(): Promise<number> {
  const asked = options(Deno.args);
  if (typeof asked === "string") return console.error(asked), 1;
  (await buildPage(dist)).forEach((line) => console.log(line));
  try {
    const server = servePage(dist, asked.port, asked.plain ? {} : isolation);
    console.log(`http://127.0.0.1:${server.addr.port}/${asked.plain ? "  (without isolation headers: one thread)" : ""}`);
    const model = await modelAtHand();
    if (model !== null) console.log(`a model to drop on it: ${model}`);
    await server.finished;
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.AddrInUse)) throw thrown;
    return console.error(`port ${asked.port} is in use: take another with --port N`), 1;
  }
}

if (import.meta.main) Deno.exit(await main());
