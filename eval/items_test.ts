import { assert, assertEquals, assertNotEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { inductionModel } from "../model/induction.ts";
import { frameOf } from "./frame.ts";
import { type Document, type Item, type TaskName, TASKS, tokensOf } from "./item.ts";
import { itemsOf, type Recipe } from "./items.ts";
import { syntheticDocuments } from "./synthetic.ts";

const tokenizer = inductionModel().tokenizer();
assert(E.isRight(tokenizer));
const { decode } = tokenizer.right;
const documents = syntheticDocuments(3, 90, 5);
const recipe: Recipe = { frame: frameOf(tokenizer.right), seed: 3, tokens: 1200, scored: 20 };

const made = (task: TaskName, count = 4, from: ReadonlyArray<Document> = documents, how = recipe): ReadonlyArray<Item> => {
  const items = itemsOf(task, from, how, count);
  assert(E.isRight(items));
  return items.right;
};

Deno.test("every task gives as many items as asked for, each read within its tokens, with an answer to score or a trace to follow", () => {
  for (const task of TASKS) {
    const items = made(task);
    assertEquals(items.length, 4, task);
    for (const item of items) {
      // The head of a chat, and the line between a string and its repetition, come on top.
      assert(tokensOf(item) <= recipe.tokens + 8, `${item.id}: ${tokensOf(item)}`);
      const probes = item.turns.flatMap(({ probes }) => probes);
      assert(item.trace > 0 || (probes.length > 0 && probes.every(({ answer }) => answer.length > 0)), item.id);
    }
    assertEquals(new Set(items.map(({ id }) => id)).size, items.length);
  }
});

Deno.test("an item is the same however many are made, and another for another seed", () => {
  for (const task of TASKS) {
    assertEquals(made(task, 2), made(task, 4).slice(0, 2), task);
    assertNotEquals(made(task, 2)[0]?.turns, made(task, 2, documents, { ...recipe, seed: 4 })[0]?.turns, task);
  }
});

Deno.test("the positions an oracle keeps are those of the fact, and its number is the answer", () => {
  for (const task of ["T2", "T3", "T7", "T9"] as const) {
    for (const item of made(task)) {
      const ids = item.turns.flatMap(({ tokens }) => tokens);
      const facts = item.needles.map(([from, to]) => decode(ids.slice(from, to)));
      const answers = new Set(item.turns.flatMap(({ probes }) => probes).map(({ answer }) => decode(answer)));
      assertEquals(facts.length, answers.size, item.id);
      for (const fact of facts) {
        const found = /^ The secret number of the \w+ \w+ is (\d{5})\.$/.exec(fact)?.[1];
        assert(found !== undefined && answers.has(found), fact);
      }
    }
  }
});

Deno.test("facts lie at eleven depths, from the beginning of the text to its end", () => {
  const items = made("T2", 11);
  const depths = items.map((item) => (item.needles[0]?.[0] ?? 0) / recipe.tokens);
  assert((depths[0] ?? 1) < 0.01 && (depths[10] ?? 0) > 0.9);
  assertEquals(depths, [...depths].sort((a, b) => a - b));
});

Deno.test("a continuation and what is read before it are one piece of the document", () => {
  for (const item of made("T1")) {
    const text = documents.find(({ name }) => name === item.document)?.text ?? "";
    const { tokens, probes } = item.turns[0] ?? { tokens: [], probes: [] };
    assert(text.includes(decode([...tokens.slice(1), ...probes[0]?.answer ?? []])));
  }
});

Deno.test("numbers of the text that could be taken for a fact are left out", () => {
  const numbered = documents.map((document) => ({ ...document, text: document.text.replaceAll("the", "12345") }));
  assert(E.isLeft(itemsOf("T2", numbered, recipe, 2)));
});

Deno.test("documents that are too short, and too few of them, are refused", () => {
  for (const few of [[], documents.slice(0, 1), syntheticDocuments(5, 3, 1)]) {
    const items = itemsOf("T1", few, recipe, 2);
    assert(E.isLeft(items) && items.left._tag === "InvalidArgument" && items.left.argument === "the corpus");
  }
});
