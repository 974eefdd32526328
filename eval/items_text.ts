/**
 * Items out of real text: its continuation (T1), and its repetition on demand (T8).
 * @module
 */
import { drawWhole } from "./draws.ts";
import type { Recipe } from "./items.ts";
import type { Document, Item, Probe } from "./item.ts";

/** Tokens that stand for a text whose beginning is withheld. */
const NEAR = 128;

const plain = (answer: ReadonlyArray<number>, query: ReadonlyArray<number> = []): Probe => ({ query, answer, distractors: [], age: 0 });

/** T1: a piece of a document is read, and how it goes on is scored. */
export function continuation({ frame, tokens, scored, seed }: Recipe, document: Document, i: number): Item | null {
  const ids = frame.encode(document.text);
  const spare = ids.length - tokens - scored;
  if (spare < 0) return null;
  const from = drawWhole(spare + 1, seed, "T1", document.name, i);
  const context = ids.slice(from, from + tokens);
  return {
    task: "T1",
    id: `T1-${i}-${document.name}-${from}`,
    document: document.name,
    kind: document.kind,
    turns: [{ tokens: [...frame.start, ...context], probes: [plain(ids.slice(from + tokens, from + tokens + scored))] }],
    bare: [...frame.start, ...context.slice(-NEAR)],
    needles: [],
    trace: 0,
  };
}

/** T8: a piece of a document is read, and the model, asked to repeat it, is scored on every token of it. */
export function reconstruction({ frame, tokens, seed }: Recipe, document: Document, i: number): Item | null {
  const ids = frame.encode(document.text);
  const length = Math.min(tokens, 512);
  if (ids.length < length) return null;
  const from = drawWhole(ids.length - length + 1, seed, "T8", document.name, i);
  const context = ids.slice(from, from + length);
  const query = [...frame.encode("\n\nRepeat the text above word for word, from its first word to its last."), ...frame.tail];
  return {
    task: "T8",
    id: `T8-${i}-${document.name}-${from}`,
    document: document.name,
    kind: document.kind,
    turns: [{ tokens: [...frame.head, ...context], probes: [plain(context, query)] }],
    bare: frame.head.length > 0 ? frame.head : context.slice(0, 1),
    needles: [],
    trace: 0,
  };
}
