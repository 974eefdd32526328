/**
 * The one bridge from values to exceptions, for scripts.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { type KvError, showError } from "../cache/error.ts";

/** The value of an Either, or of an effect that gives one; a Left becomes a thrown Error with the sentence of `showError`
 * and the KvError as its `cause`. Everything else in this library returns its errors.
 *
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import * as TE from "fp-ts/TaskEither.js";
 * assertEquals(await orThrow(TE.right(1)), 1);
 * await assertRejects(() => orThrow(E.left({ _tag: "StaleHandle", handle: "buffer 3" })));
 * ```
 */
export async function orThrow<A>(result: E.Either<KvError, A> | (() => E.Either<KvError, A> | Promise<E.Either<KvError, A>>)): Promise<A> {
  const value = typeof result === "function" ? await result() : result;
  if (E.isRight(value)) return value.right;
  throw new Error(showError(value.left), { cause: value.left });
}
