/**
 * What is read back after a run: the logits of its last token, or only which of them is the largest. A backend that is far away, as a graphics
 * device is, then sends 4 bytes for a greedy token where the logits are 4 bytes for each of the vocabulary.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { KvError } from "../cache/error.ts";
import { noToken, sample, type Sampling } from "./sample.ts";

/** What is wanted of a run's last token. */
export type Answer = "logits" | "token";

/** What was read of it. */
export interface Answered {
  /** f32 [vocab]: what follows the last token. Empty where only the id of the largest was read. */
  readonly logits: Float32Array;
  /** Id of the largest logit where only that was read, else null. */
  readonly likeliest: number | null;
}

/** What `argmax` of the op table gives for a row without a largest number. */
const NONE_FOUND = 0xFFFFFFFF;

/** Right if all logits are there. */
export const withLogits = <A extends Answered>(answered: A): E.Either<KvError, A> =>
  answered.likeliest === null ? E.right(answered) : E.left({
    _tag: "InvalidArgument",
    argument: "session",
    value: "a session of whose last token only the likeliest next one was read",
    allowed: 'a session with logits: answer "logits"',
  });

/** Draw number `index`: what the backend has found, where that is asked for. Left as for {@link sample}. */
export const chosen = (sampling: Sampling, index: number) => (answered: Answered): E.Either<KvError, number> => {
  const { likeliest } = answered;
  if (sampling.temperature > 0 || likeliest === null) {
    return pipe(withLogits(answered), E.chain(({ logits }) => sample(sampling, index)(logits)));
  }
  return likeliest === NONE_FOUND ? noToken("a logit is NaN or infinite, or none is finite") : E.right(likeliest);
};

/** What is enough for a way of drawing. */
export const answerFor = ({ temperature }: Sampling): Answer => temperature === 0 ? "token" : "logits";
