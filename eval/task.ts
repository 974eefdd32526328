/**
 * What a comparison runs on: a document cut into the part that is cached and the tokens that follow it, and a question about it.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Tokenizer } from "../model/types.ts";

/** Token ids of one comparison. */
export interface CompareTask {
  /** Read into the cache, then compressed: the policy does not know what comes next. */
  readonly prompt: ReadonlyArray<number>;
  /** How the document goes on: the text that fidelity is measured on. */
  readonly continuation: ReadonlyArray<number>;
  /** What is read after the prompt before the answer is generated; empty where the text itself is continued. */
  readonly question: ReadonlyArray<number>;
}

/** A document and what is asked about it. */
export interface Asked {
  /** The text. */
  readonly document: string;
  /** Null: the document is continued instead. */
  readonly question: string | null;
  /** Most tokens of the document that are cached. */
  readonly tokens: number;
}

/** Tokens after the cached part that fidelity is measured on; a shorter document gives a quarter of itself. */
export const PROBE: number = 128;

/** Cuts a document. With a question, the ids are those of the chat that holds both, so that nothing depends on how a cut text would be
 * tokenised: the prompt is what the chat with the question and the chat with the rest of the document have in common.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { inductionModel } from "../model/induction.ts";
 * import type { Tokenizer } from "../model/types.ts";
 * const tokenizer = inductionModel().tokenizer();
 * const text = (ids: ReadonlyArray<number>) => E.isRight(tokenizer) ? tokenizer.right.decode(ids) : "";
 * const task = E.chain((t: Tokenizer) => taskOf(t, { document: "abcdefgh", question: "ab", tokens: 100 }))(tokenizer);
 * const parts = E.isRight(task) ? [task.right.prompt, task.right.continuation, task.right.question].map(text) : [];
 * assertEquals(parts, ["abcdef", "gh", "\n\nab"]);
 * ```
 */
export function taskOf(tokenizer: Tokenizer, { document, question, tokens }: Asked): Either<KvError, CompareTask> {
  const all = tokenizer.encode(document);
  if (all.length < 3) return invalid("document", `${all.length} tokens`, "a text of at least 3 tokens");
  const probe = Math.min(PROBE, Math.max(2, Math.floor(all.length / 4)));
  const cached = Math.min(tokens, all.length - probe);
  const [start, whole] = [tokenizer.decode(all.slice(0, cached)), tokenizer.decode(all.slice(0, cached + probe))];
  if (question === null) {
    const prompt = [...(tokenizer.bos === null ? [] : [tokenizer.bos]), ...all.slice(0, cached)];
    return E.right({ prompt, continuation: all.slice(cached, cached + probe), question: [] });
  }
  if (question.trim() === "") return invalid("question", question, "a text that is not empty");
  const asking = conversation(tokenizer, `${start}\n\n${question}`);
  const reading = conversation(tokenizer, whole);
  const prompt = sharedStart(asking, reading);
  return E.right({
    prompt,
    continuation: reading.slice(prompt.length, prompt.length + probe),
    question: asking.slice(prompt.length),
  });
}

/** The whole document as it is cached, and the question that is read after it: the ids of the chat that holds both, cut where the chat with the
 * document alone ends. Without a question the document is continued.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { inductionModel } from "../model/induction.ts";
 * import type { Tokenizer } from "../model/types.ts";
 * const asked = E.chain((t: Tokenizer) => questionOf(t, { document: "abc", question: "d" }))(inductionModel().tokenizer());
 * assertEquals(asked, E.right({ prompt: [256, 97, 98, 99], question: [10, 10, 100] }));
 * ```
 */
export function questionOf(
  tokenizer: Tokenizer,
  { document, question }: Pick<Asked, "document" | "question">,
): Either<KvError, Pick<CompareTask, "prompt" | "question">> {
  if (document.trim() === "") return invalid("document", document, "a text that is not empty");
  if (question === null || question.trim() === "") {
    return E.right({ prompt: [...(tokenizer.bos === null ? [] : [tokenizer.bos]), ...tokenizer.encode(document)], question: [] });
  }
  const asking = conversation(tokenizer, `${document}\n\n${question}`);
  const prompt = sharedStart(asking, conversation(tokenizer, document));
  return E.right({ prompt, question: asking.slice(prompt.length) });
}

/** What a user says, as ids: by the model's chat template, or as plain text where it has none. */
function conversation(tokenizer: Tokenizer, content: string): ReadonlyArray<number> {
  const chat = tokenizer.chat([{ role: "user", content }]);
  return E.isRight(chat) ? chat.right : [...(tokenizer.bos === null ? [] : [tokenizer.bos]), ...tokenizer.encode(`${content}\n`)];
}

/** The ids that both lists start with. */
function sharedStart(a: ReadonlyArray<number>, b: ReadonlyArray<number>): ReadonlyArray<number> {
  const end = a.findIndex((id, i) => id !== b[i]);
  return end < 0 ? a.slice(0, b.length) : a.slice(0, end);
}

const invalid = (argument: string, value: string, allowed: string): Either<KvError, never> =>
  E.left({ _tag: "InvalidArgument", argument, value, allowed });
