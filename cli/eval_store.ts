/**
 * The file of an evaluation: its arguments in the first line, then one finished record per line. A run that is interrupted goes on from what
 * is there; a last line that was cut off is dropped; other arguments are refused, because their numbers would not compare.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { join } from "node:path";
import type { KvError } from "../cache/error.ts";
import type { Store } from "../eval/evaluate.ts";
import type { EvalRecord } from "../eval/record.ts";
import { reasonOf, unavailable } from "./files.ts";
import { invalid } from "./options.ts";

/** Name of the file in the folder of a run. */
export const RUNS = "runs.jsonl";

/** What must be the same for records to be of one evaluation. Policies may be added later: records name theirs. */
export type Arguments = Readonly<Record<string, string | number | ReadonlyArray<string>>>;

/** A store over a file, and the records that it has. */
export interface OpenStore extends Store, Disposable {
  readonly records: () => ReadonlyArray<EvalRecord>;
}

/** Opens or creates the file in a folder. Left if `folder` is a file, cannot be written, holds a run of other arguments, or another process
 * writes there. */
export const openStore = (folder: string, given: Arguments): TaskEither<KvError, OpenStore> => async () => {
  try {
    const info = await Deno.stat(folder).catch(() => null);
    if (info !== null && !info.isDirectory) return invalid("--out", `${folder}, which is a file`, "a folder, or a name that is free");
    await Deno.mkdir(folder, { recursive: true });
    const path = join(folder, RUNS);
    const file = await Deno.open(path, { write: true, create: true });
    const opened = await readStore(folder, path, file, given)
      .catch((thrown: unknown) => E.left<KvError>(unavailable(folder, reasonOf(thrown))));
    if (E.isLeft(opened)) file.close();
    return opened;
  } catch (thrown) {
    return E.left(unavailable(folder, reasonOf(thrown)));
  }
};

/** What is in the file, which is this process's alone from here on, and ends behind its last whole line. */
async function readStore(folder: string, path: string, file: Deno.FsFile, given: Arguments): Promise<Either<KvError, OpenStore>> {
  if (!file.tryLockSync(true)) {
    return invalid("--out", `${folder}, where another evaluation is running`, "a folder of its own, or to wait for the other");
  }
  const text = await Deno.readTextFile(path);
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const header = `${JSON.stringify(given)}\n`;
  const [first = "", ...lines] = whole.split("\n").slice(0, -1);
  if (whole !== "" && `${first}\n` !== header) {
    return invalid(
      "--out",
      `${folder}, a run with the arguments ${first.slice(0, 300)}`,
      "the folder of a run with these arguments, or a new one",
    );
  }
  const records = parsed(path, lines);
  if (E.isLeft(records)) return records;
  const kept = new TextEncoder().encode(whole === "" ? header : whole);
  await file.truncate(kept.length);
  if (whole === "") writeAll(file, kept);
  await file.seek(kept.length, Deno.SeekMode.Start);
  return E.right(storeOf(path, file, records.right));
}

function parsed(path: string, lines: ReadonlyArray<string>): Either<KvError, ReadonlyArray<EvalRecord>> {
  const records: EvalRecord[] = [];
  for (const [i, line] of lines.entries()) {
    const value: unknown = E.getOrElse((): unknown => null)(E.tryCatch((): unknown => JSON.parse(line), () => null));
    if (!isRecord(value)) {
      return E.left({
        _tag: "InvalidFile",
        file: path,
        at: `line ${i + 2}`,
        found: line.slice(0, 80),
        allowed: "a record of an evaluation",
      });
    }
    records.push(value);
  }
  return E.right(records);
}

/** The fields by which records are found and added up. */
function isRecord(value: unknown): value is EvalRecord {
  if (typeof value !== "object" || value === null) return false;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  const { probes, kept, ...rest } = fields;
  return ["task", "item", "document", "kind", "method"].every((name) => typeof rest[name] === "string") &&
    ["tokens", "bytes", "held", "full", "ms"].every((name) => Number.isFinite(rest[name])) &&
    (rest.rowsRead === null || Number.isFinite(rest.rowsRead)) && (rest.bytesStored === undefined || Number.isFinite(rest.bytesStored)) &&
    Array.isArray(kept) &&
    Array.isArray(probes) &&
    probes.every((probe: unknown) =>
      typeof probe === "object" && probe !== null &&
      ["n", "nll", "nllFull", "nllNone", "kl"].every((name) => Number.isFinite(new Map<string, unknown>(Object.entries(probe)).get(name)))
    );
}

function storeOf(path: string, file: Deno.FsFile, before: ReadonlyArray<EvalRecord>): OpenStore {
  const records = [...before];
  const key = (item: string, method: string): string => JSON.stringify([item, method]);
  const there = new Set(records.map(({ item, method }) => key(item, method)));
  return {
    has: (item, method) => there.has(key(item, method)),
    add: (record) => {
      try {
        writeAll(file, new TextEncoder().encode(`${JSON.stringify(record)}\n`));
        file.syncDataSync();
      } catch (thrown) {
        return E.left(unavailable(path, reasonOf(thrown)));
      }
      records.push(record);
      there.add(key(record.item, record.method));
      return E.right(undefined);
    },
    records: () => records,
    [Symbol.dispose]: () => file.close(),
  };
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}
