/**
 * What every backend does with its table of handles.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Buffer } from "../cache/types.ts";

/** What is held under an id, or StaleHandle. */
export function held<A>(among: ReadonlyMap<number, A>, id: number, handle: string): E.Either<KvError, A> {
  const found = among.get(id);
  return found === undefined ? stale(handle) : E.right(found);
}

/** A StaleHandle. */
export const stale = (handle: string): E.Either<KvError, never> => E.left({ _tag: "StaleHandle", handle });

/** How a message names a buffer. */
export const showBuffer = ({ label, id }: Buffer): string => `buffer ${label} (#${id})`;

/** The whole numbers offset and length lie in `size`, or a ShapeMismatch. Bytes. */
export function checkRange(at: string, offset: number, length: number, size: number): E.Either<KvError, void> {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (whole && offset + length <= size) return E.right(undefined);
  return E.left({ _tag: "ShapeMismatch", at, expected: `a range within ${size} bytes`, actual: `${length} bytes from ${offset}` });
}
