/**
 * Items without meaning: a random string that comes again at once (T5) or after other text (T6), and stories that the model tells by
 * itself (T10).
 * @module
 */
import { drawSome, drawWhole } from "./draws.ts";
import type { Recipe } from "./items.ts";
import type { Document, Item, TaskName } from "./item.ts";
import { ADJECTIVES, NOUNS } from "./words.ts";

/** Ids drawn uniformly from those that a document uses. */
function randomIds({ frame, seed }: Recipe, document: Document, count: number, id: string): ReadonlyArray<number> {
  const used = [...new Set(frame.encode(document.text))];
  return Array.from({ length: count }, (_, i) => used[drawWhole(used.length, seed, id, i)] ?? 0);
}

function again(task: TaskName, recipe: Recipe, document: Document, i: number, length: number, gap: number): Item | null {
  const id = `${task}-${i}-${document.name}`;
  const ids = randomIds(recipe, document, length, id);
  const between = gap === 0 ? recipe.frame.encode("\n") : recipe.frame.encode(document.text).slice(0, gap);
  if (between.length < gap || ids.length < 2) return null;
  const start = recipe.frame.start;
  return {
    task,
    id,
    document: id,
    kind: document.kind,
    turns: [{
      tokens: [...start, ...ids, ...between],
      probes: [{ query: ids.slice(0, 1), answer: ids.slice(1), distractors: [], age: 0 }],
    }],
    bare: [...start, ...between.slice(-8)],
    needles: [],
    trace: 0,
  };
}

/** T5: a random string of 128, 256 or 512 tokens (fewer where the items are shorter), and the same again. */
export const repeat = (recipe: Recipe, document: Document, i: number): Item | null =>
  again("T5", recipe, document, i, Math.min(128 << (i % 3), recipe.tokens), 0);

/** T6: a random string of 128 tokens, up to 256 or 1,024 tokens of prose, and the string again. */
export function gap(recipe: Recipe, document: Document, i: number): Item | null {
  const length = Math.min(128, Math.floor(recipe.tokens / 2));
  return again("T6", recipe, document, i, length, Math.min(i % 2 === 0 ? 256 : 1024, recipe.tokens - length));
}

/** T10: the model is asked for a story, and its own telling of it with the full cache is what policies are held against. */
export function story({ frame, seed, scored }: Recipe, _: Document, i: number): Item | null {
  const [a, b] = [drawSome(ADJECTIVES, 2, seed, "T10", i, "a"), drawSome(NOUNS, 2, seed, "T10", i, "n")];
  const text = `Tell a long story about the ${a[0]} ${b[0]} and the ${a[1]} ${b[1]}, step by step, and say why each thing happens.`;
  return {
    task: "T10",
    id: `T10-${i}`,
    document: `T10-${i}`,
    kind: "synthetic",
    turns: [{ tokens: [...frame.head, ...frame.encode(text), ...frame.tail], probes: [] }],
    bare: frame.head.length > 0 ? frame.head : frame.encode("\n"),
    needles: [],
    trace: 2 * scored,
  };
}
