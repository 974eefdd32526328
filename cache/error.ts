/**
 * Every failure of kvfold is a value of one union, {@link KvError}; {@link showError} turns it into one sentence that
 * names the attempt, the value that was found and the range that is allowed.
 * @module
 */

/** What can go wrong. Each variant carries the operands a caller needs to react or to report. */
export type KvError =
  /** A policy that cannot mean anything: bad number, unknown name, contradictory parts. `column` is 1-based for text forms. */
  | {
    readonly _tag: "InvalidPolicy";
    readonly path: string;
    readonly value: string;
    readonly allowed: string;
    readonly column?: number;
    readonly source?: string;
  }
  /** Operands whose shapes, dtypes or counts do not fit each other. */
  | { readonly _tag: "ShapeMismatch"; readonly at: string; readonly expected: string; readonly actual: string }
  /** A policy wants to observe something the host does not supply. */
  | { readonly _tag: "MissingPort"; readonly port: string; readonly wantedBy: string }
  /** An op, codec, architecture or feature this backend or version does not have. */
  | { readonly _tag: "Unsupported"; readonly what: string; readonly where: string; readonly because: string }
  /** A number outside its range. */
  | { readonly _tag: "OverLimit"; readonly limit: string; readonly needed: number; readonly available: number }
  /** A handle that outlived its memory, or a cache value that was consumed by an in-place transform. */
  | { readonly _tag: "StaleHandle"; readonly handle: string }
  /** The backend could not get memory. Bytes. */
  | { readonly _tag: "OutOfMemory"; readonly requested: number; readonly inUse: number; readonly limit: number }
  /** A backend that cannot be opened here. */
  | { readonly _tag: "NoDevice"; readonly backend: string; readonly because: string }
  /** A device that was lost while it was in use. */
  | { readonly _tag: "DeviceLost"; readonly backend: string; readonly because: string }
  /** A file (GGUF, JSON, saved cache) that is malformed. `offset` in bytes where known. */
  | {
    readonly _tag: "InvalidFile";
    readonly file: string;
    readonly at: string;
    readonly found: string;
    readonly allowed: string;
    readonly offset?: number;
  }
  /** An argument of a function or of the command line outside its range. */
  | { readonly _tag: "InvalidArgument"; readonly argument: string; readonly value: string; readonly allowed: string }
  /** A resource that could not be fetched, read or written. */
  | { readonly _tag: "Unavailable"; readonly what: string; readonly because: string };

/** An InvalidFile, of a file known by its name for messages. */
export const invalidFile = ({ file }: { readonly file: string }, at: string, found: string, allowed: string): KvError => ({
  _tag: "InvalidFile",
  file,
  at,
  found,
  allowed,
});

/** The sentence a person reads: attempt, value found, range allowed. Never contains a stack trace or a line break, except
 * for policy text, where a second and third line point at the column.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const e = { _tag: "InvalidArgument", argument: "--chunk", value: "0", allowed: "a whole number from 1 to 4096" } as const;
 * assertEquals(showError(e), 'argument --chunk: found "0", allowed is a whole number from 1 to 4096');
 * ```
 */
export function showError(error: KvError): string {
  const text = sentence(error);
  return error._tag === "InvalidPolicy" ? text : flatten(text);
}

function sentence(error: KvError): string {
  switch (error._tag) {
    case "InvalidPolicy": {
      const at = error.column === undefined ? "" : ` at column ${error.column}`;
      const head = `policy ${error.path}${at}: found "${clip(error.value)}", allowed is ${error.allowed}`;
      return error.source === undefined || error.column === undefined ? head : head + "\n" + pointAt(error.source, error.column);
    }
    case "ShapeMismatch":
      return `${error.at}: expected ${error.expected}, found ${error.actual}`;
    case "MissingPort":
      return `${error.wantedBy} observes the port "${error.port}", which this host does not supply`;
    case "Unsupported":
      return `${error.what} is not supported by ${error.where}: ${error.because}`;
    case "OverLimit":
      return `${error.limit}: needed ${error.needed}, available ${error.available}`;
    case "StaleHandle":
      return `${error.handle} was used after its memory was released or reused by a later value`;
    case "OutOfMemory":
      return `out of memory: requested ${error.requested} bytes with ${error.inUse} in use, limit ${error.limit} bytes`;
    case "NoDevice":
      return `backend ${error.backend} cannot be opened: ${error.because}`;
    case "DeviceLost":
      return `backend ${error.backend} lost its device: ${error.because}`;
    case "InvalidFile": {
      const at = error.offset === undefined ? "" : ` (byte ${error.offset})`;
      return `file ${error.file}: ${error.at}${at}: found ${clip(error.found)}, allowed is ${error.allowed}`;
    }
    case "InvalidArgument":
      return `argument ${error.argument}: found "${clip(error.value)}", allowed is ${error.allowed}`;
    case "Unavailable":
      return `${error.what} is not available: ${error.because}`;
  }
}

/** Names and values come from foreign files: no line breaks and no terminal commands out of them. */
const flatten = (text: string): string => text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ");

/** Long or multi-line foreign text must not flood a terminal. */
function clip(text: string): string {
  const flat = flatten(text);
  return flat.length <= 80 ? flat : `${flat.slice(0, 77)}...`;
}

function pointAt(source: string, column: number): string {
  const flat = source.replaceAll(/\p{Cc}/gu, " ");
  const from = Math.max(0, column - 40);
  return `  ${flat.slice(from, from + 78)}\n  ${" ".repeat(column - 1 - from)}^`;
}
