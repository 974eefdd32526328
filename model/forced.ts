/**
 * Teacher forcing: the logits of every token of a text that is known, from a prompt or from a session.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { Policy } from "../policy/types.ts";
import { dispose } from "../run/mod.ts";
import { type Feed, feed } from "./feed.ts";
import { withLogits } from "./answer.ts";
import type { Model } from "./model.ts";
import { checkTokens, prefill, type PrefillOptions, type Session, stepPoint } from "./session.ts";

/** Logits [vocab] for every token of a continuation, each predicted from the prompt and the true tokens before it, with the cache
 * that decoding would have then: row i predicts `continuation[i]`. Where the policy does nothing while decoding, chunks give the
 * same rows as steps and are used.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { keepAll } from "../papers/mod.ts";
 * import { orThrow } from "../run/mod.ts";
 * import { inductionModel } from "./induction.ts";
 * import { openModel } from "./model.ts";
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const rows = await orThrow(logitsOver(model, keepAll)([256, 7, 8, 9, 7], [8, 9]));
 * assertEquals(rows.map((row) => row.indexOf(Math.max(...row))), [8, 9]);
 * ```
 */
export const logitsOver = (
  model: Model,
  policy: Policy,
  options: PrefillOptions = {},
): (prompt: ReadonlyArray<number>, continuation: ReadonlyArray<number>) => TE.TaskEither<KvError, ReadonlyArray<Float32Array>> =>
(prompt, continuation) =>
  pipe(
    TE.fromEither(checkTokens(model, [...prompt, ...continuation], 0)),
    TE.chain(() => prefill(model, policy, options)(prompt)),
    TE.chain((session) => forced(continuation)(session)),
  );

/** What teacher forcing gives. */
export interface Forced {
  /** f32 [vocab] for every token: row i predicts token i. */
  readonly logits: ReadonlyArray<Float32Array>;
  /** Rows that the queries of the last token that was run read, over all layers and KV heads; see `Session`. */
  readonly rowsRead: number;
}

/** Teacher forcing from a session: row i of the result predicts `tokens[i]`. The session is consumed, also on Left, unless the
 * tokens themselves are refused, or a session without logits. */
export const forced =
  (tokens: ReadonlyArray<number>): (session: Session) => TE.TaskEither<KvError, ReadonlyArray<Float32Array>> => (session) =>
    pipe(forcedReads(tokens)(session), TE.map(({ logits }) => logits));

/** {@link forced}, and how many rows were read. */
export const forcedReads =
  (tokens: ReadonlyArray<number>): (session: Session) => TE.TaskEither<KvError, Forced> => (session) => async () => {
    const { model, plan } = session;
    const wrong = tokens.length === 0
      ? E.right(undefined)
      : pipe(withLogits(session), E.chain(() => checkTokens(model, tokens, session.cache.nextPosition)));
    if (E.isLeft(wrong)) return wrong;
    const rows: Float32Array[] = tokens.length === 0 ? [] : [session.logits];
    const width = plan.rewritesAt({ _tag: "AfterStep", every: plan.periods }) ? 1 : session.chunk;
    let { cache, rowsRead } = session;
    for (let from = 0; from < tokens.length - 1; from += width) {
      const part = tokens.slice(from, Math.min(from + width, tokens.length - 1));
      const point: Feed["point"] = width === 1 ? stepPoint(plan, session.steps + from + 1) : { _tag: "AfterChunk", m: part.length };
      const fed = await feed(model, plan, { tokens: part, point, logits: "all" })(cache)();
      if (E.isLeft(fed)) return fed;
      ({ cache, rowsRead } = fed.right);
      for (let i = 0; i < part.length; i++) {
        rows.push(fed.right.logits.slice(i * model.spec.shape.vocab, (i + 1) * model.spec.shape.vocab));
      }
    }
    const freed = dispose(model.memory)(cache)();
    return E.isLeft(freed) ? freed : E.right({ logits: rows, rowsRead });
  };
