/**
 * The table of a safetensors file: JSON text to names, types, shapes and byte ranges, each of the right kind.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { KvError } from "../cache/error.ts";

/** What the table says of one tensor, before its bytes have been looked for. */
export interface TableEntry {
  /** As written. */
  readonly name: string;
  /** Number type, not checked yet. */
  readonly dtype: string;
  /** Whole numbers from 0, outermost first. */
  readonly shape: ReadonlyArray<number>;
  /** Of the first byte, from the end of the table. */
  readonly begin: number;
  /** Of the byte after the last; not before `begin`. */
  readonly end: number;
}

/** A table as values. */
export interface Table {
  /** Text by key. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of the text. */
  readonly entries: ReadonlyArray<TableEntry>;
}

/** Most axes of a tensor. */
const mostAxes = 8;

/** Reads a table; `metadataKey` names the one entry that is no tensor. */
export function readTableOf(file: string, metadataKey: string, bytes: Uint8Array): E.Either<KvError, Table> {
  const text = new TextDecoder().decode(bytes);
  const wrong = (at: string, found: string, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidFile", file, at, found, allowed, offset: 8 });
  return pipe(
    E.tryCatch((): unknown => JSON.parse(text), () => null),
    E.orElseW(() => wrong("the table", text.slice(0, 40), "JSON")),
    E.chain((value) => isRecord(value) ? E.right(value) : wrong("the table", text.slice(0, 40), "a JSON object")),
    // JSON.parse keeps the last of two equal keys; every key is followed by a colon outside strings.
    E.chain((value) => colons(text) === keysIn(value) ? E.right(value) : wrong("the table", "a key twice", "each key once")),
    E.chain((value) => {
      const entries: TableEntry[] = [];
      for (const [name, fields] of Object.entries(value)) {
        if (name === metadataKey) continue;
        const entry = entryOf(name, fields);
        if (typeof entry === "string") return wrong(`tensor ${name}`, entry, "dtype, shape and data_offsets: a text and whole numbers");
        entries.push(entry);
      }
      const metadata = metadataOf(Object.hasOwn(value, metadataKey) ? value[metadataKey] : {});
      return metadata === null ? wrong(metadataKey, "other values", "texts by key") : E.right({ metadata, entries });
    }),
  );
}

type Fields = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

/** The entry, or what was found in its place. */
function entryOf(name: string, fields: unknown): TableEntry | string {
  if (!isRecord(fields)) return shown(fields);
  const { dtype, shape, data_offsets: offsets, ...others } = fields;
  const other = Object.keys(others)[0];
  if (other !== undefined) return `the key ${other}`;
  if (typeof dtype !== "string") return `dtype ${shown(dtype)}`;
  if (!isWhole(shape) || shape.length > mostAxes) return `shape ${shown(shape)}`;
  const [begin = -1, end = -1] = isWhole(offsets) && offsets.length === 2 ? offsets : [];
  return begin < 0 || end < begin ? `data_offsets ${shown(offsets)}` : { name, dtype, shape, begin, end };
}

/** A value as an error shows it; it may be of any depth and size. */
const shown = (value: unknown): string =>
  Array.isArray(value) && value.length <= mostAxes && value.every((v) => typeof v === "number")
    ? `[${value.join(", ")}]`
    : isRecord(value) || Array.isArray(value)
    ? "other values"
    : String(value).slice(0, 40);

const isWhole = (value: unknown): value is ReadonlyArray<number> =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);

function metadataOf(value: unknown): ReadonlyMap<string, string> | null {
  if (!isRecord(value)) return null;
  const texts = Object.entries(value).flatMap(([key, text]) => typeof text === "string" ? [[key, text] as const] : []);
  return texts.length === Object.keys(value).length ? new Map(texts) : null;
}

/** Colons outside strings of valid JSON. */
function colons(json: string): number {
  let [count, inString] = [0, false];
  for (let i = 0; i < json.length; i++) {
    const c = json[i];
    if (inString && c === "\\") i++;
    else if (c === '"') inString = !inString;
    else if (c === ":" && !inString) count++;
  }
  return count;
}

/** Keys of an object of objects; deeper ones make the count differ, and nothing here is that deep. */
const keysIn = (value: Fields): number =>
  Object.values(value).reduce<number>((sum, inner) => sum + (isRecord(inner) ? Object.keys(inner).length : 0), Object.keys(value).length);
