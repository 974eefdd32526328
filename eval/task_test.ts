import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { inductionModel } from "../model/induction.ts";
import type { Tokenizer } from "../model/types.ts";
import { type Asked, type CompareTask, PROBE, taskOf } from "./task.ts";

const bytes = inductionModel().tokenizer();
assert(E.isRight(bytes));
const plain: Tokenizer = bytes.right;
/** A chat with something in front of and behind what the user says, as real templates have. */
const chatty: Tokenizer = {
  ...plain,
  chat: ([message]) => E.right([256, ...plain.encode(`user: ${message?.content ?? ""}\nassistant: `)]),
};
const letters = Array.from({ length: 600 }, (_, i) => String.fromCharCode(97 + (i * 7) % 26)).join("");

const taskFor = (tokenizer: Tokenizer, asked: Partial<Asked>): CompareTask => {
  const task = taskOf(tokenizer, { document: letters, question: null, tokens: 10_000, ...asked });
  assert(E.isRight(task));
  return task.right;
};

Deno.test("prompt and continuation are the document, one after the other, and the continuation is 128 tokens", () => {
  const { prompt, continuation, question } = taskFor(plain, {});
  assertEquals(plain.decode([...prompt, ...continuation]), letters);
  assertEquals([continuation.length, question], [PROBE, []]);
});

Deno.test("with a question, prompt and question are the whole conversation, and the template's head is cached with the document", () => {
  const asked = "what?";
  const { prompt, question, continuation } = taskFor(chatty, { question: asked });
  assertEquals(plain.decode(prompt), `user: ${letters.slice(0, -PROBE)}`);
  assertEquals(plain.decode(question), `\n\n${asked}\nassistant: `);
  assertEquals(plain.decode(continuation), letters.slice(-PROBE));
});

Deno.test("a limit on cached tokens moves the cut, and the continuation with it", () => {
  const { prompt, continuation } = taskFor(plain, { tokens: 100 });
  assertEquals(plain.decode(prompt), letters.slice(0, 100));
  assertEquals(plain.decode(continuation), letters.slice(100, 100 + PROBE));
});

Deno.test("a short document is cut at three quarters", () => {
  const { prompt, continuation } = taskFor(plain, { document: letters.slice(0, 40) });
  assertEquals([plain.decode(prompt).length, continuation.length], [30, 10]);
});

Deno.test("a document of two tokens and a question of nothing are refused", () => {
  assert(E.isLeft(taskOf(plain, { document: "ab", question: null, tokens: 10 })));
  assert(E.isLeft(taskOf(plain, { document: letters, question: " ", tokens: 10 })));
});
