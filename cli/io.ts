/**
 * Where a command writes and what it may ask of its surroundings, so that commands can be run without a process around them.
 * @module
 */
import type { Progress } from "./files.ts";

/** The surroundings of a command. */
export interface Io {
  /** Standard output: the command's result and nothing else. */
  readonly out: (text: string | Uint8Array) => void;
  /** Standard error: a remark for a person. */
  readonly note: (line: string) => void;
  /** Shows how far a long job is; shows nothing unless a person watches. */
  readonly progress: Progress;
  /** Takes the progress line away. */
  readonly clear: () => void;
  /** One environment variable. */
  readonly env: (name: string) => string | undefined;
}

/** Writes all of `bytes`: a pipe may take them in parts. */
function writeAll(to: { writeSync: (bytes: Uint8Array) => number }, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += to.writeSync(bytes.subarray(done));
}

const CLEAR_LINE = "\r\x1b[2K";

/** The line that shows progress: a bar where the total is known.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(progressLine("prefill", 5, 10), "prefill  [###############···············]  50 %");
 * assertEquals(progressLine("fetching", 0, null), "fetching …");
 * ```
 */
export function progressLine(label: string, done: number, total: number | null): string {
  if (total === null || total <= 0) return `${label} …`;
  const share = Math.min(1, done / total);
  const filled = Math.round(share * 30);
  return `${label}  [${"#".repeat(filled)}${"·".repeat(30 - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %`;
}

/** The surroundings of this process: progress goes to standard error, and only if that is a terminal. */
export function processIo(): Io {
  const encoder = new TextEncoder();
  const watched = Deno.stderr.isTerminal();
  const error = (text: string): void => writeAll(Deno.stderr, encoder.encode(text));
  const clear = (): void => watched ? error(CLEAR_LINE) : undefined;
  // A bar that is redrawn for every piece of a transfer would cost more than the transfer.
  let shown = "";
  return {
    out: (text) => writeAll(Deno.stdout, typeof text === "string" ? encoder.encode(text) : text),
    note: (line) => {
      clear();
      error(`${line}\n`);
    },
    progress: (label, done, total) => {
      const line = progressLine(label, done, total);
      if (!watched || line === shown) return;
      shown = line;
      error(CLEAR_LINE + line);
    },
    clear: () => {
      shown = "";
      clear();
    },
    env: (name) => Deno.env.get(name),
  };
}
