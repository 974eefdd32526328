/**
 * Runs the command line for its tests: in this process, or in one of its own.
 * @module
 */
import { join } from "node:path";
import type { Io } from "../../cli/io.ts";
import { main } from "../../cli/main.ts";

/** How a command ended, and what it wrote. */
export interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A folder that is gone after the tests, and the cache folder of the commands in it. */
export const folder: string = await Deno.makeTempDir({ prefix: "kvfold-cli-" });
export const cache: string = join(folder, "cache");
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

/** Options that run the embedded model. */
export const induction: ReadonlyArray<string> = ["--model", "induction", "--backend", "wasm"];

/** The command line in this process. */
export async function kvfold(...argv: ReadonlyArray<string>): Promise<Finished> {
  const bytes: Uint8Array[] = [];
  const notes: string[] = [];
  const io: Io = {
    out: (text) => void bytes.push(typeof text === "string" ? new TextEncoder().encode(text) : text),
    note: (line) => void notes.push(`${line}\n`),
    progress: () => {},
    clear: () => {},
    env: (name) => name === "KVFOLD_CACHE" ? cache : undefined,
  };
  const code = await main(argv, io);
  return { code, out: await new Blob(bytes.map((part) => part.slice())).text(), err: notes.join("") };
}

/** A file in the folder. */
export function written(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  return path;
}

/** The command line as a process. */
export const started = (...argv: ReadonlyArray<string>): Promise<Finished> => startedScript("cli/main.ts", ...argv);

/** A script of this checkout as a process. */
export async function startedScript(script: string, ...argv: ReadonlyArray<string>): Promise<Finished> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, ...argv],
    cwd: new URL("../..", import.meta.url),
    env: { KVFOLD_CACHE: cache, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}
