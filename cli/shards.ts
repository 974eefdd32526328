/**
 * Safetensors files of a folder, read tensor by tensor.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { readSafetensorsTable, type Safetensors, type SafetensorsTensor, tableEnd } from "../model/safetensors.ts";
import { reasonOf, unavailable } from "./files.ts";

/** These tensors of a file; those that it lacks are not in the result. The rest of the file is not read. */
export async function readTensors(path: string, names: ReadonlyArray<string>): Promise<E.Either<KvError, Safetensors>> {
  try {
    using file = await Deno.open(path);
    const { size } = await file.stat();
    const part = async (from: number, to: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(to - from);
      await file.seek(from, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) done += (await file.read(bytes.subarray(done))) ?? bytes.length;
      return bytes;
    };
    const end = tableEnd(path, await part(0, Math.min(8, size)), size);
    const table = E.isLeft(end) ? end : readSafetensorsTable(path, await part(0, end.right), size);
    if (E.isLeft(table)) return table;
    const { metadata, ranges } = table.right;
    const tensors = new Map<string, SafetensorsTensor>();
    for (const name of names) {
      const range = ranges.get(name);
      if (range !== undefined) tensors.set(name, { name, type: range.type, shape: range.shape, bytes: await part(range.from, range.to) });
    }
    return E.right({ file: path, metadata, tensors });
  } catch (thrown) {
    return E.left(unavailable(path, reasonOf(thrown)));
  }
}
