/**
 * Items with facts hidden in prose: one (T2), one among others of its kind (T3), eight that are all asked for (T7), and one in each of four
 * turns (T9). A fact gives a five-digit number to a thing; digits are scored one by one, so that a number nobody knows costs 2.303 nats each.
 * @module
 */
import { draw, drawSome, drawWhole } from "./draws.ts";
import type { Recipe } from "./items.ts";
import type { Document, Item, Probe, TaskName, Turn } from "./item.ts";
import { ADJECTIVES, NOUNS } from "./words.ts";

/** A fact: what has which number. */
interface Fact {
  readonly thing: string;
  readonly digits: string;
}

/** Facts of one item: things and numbers all differ. */
function facts(count: number, seed: number, id: string): ReadonlyArray<Fact> {
  const [a, n] = [drawSome(ADJECTIVES, count, seed, id, "adjective"), drawSome(NOUNS, count, seed, id, "noun")];
  return Array.from({ length: count }, (_, i) => ({
    thing: `${a[i % a.length]} ${n[i % n.length]}`,
    // Different first digits where there are at most nine facts, then different hundreds.
    digits: String(10_000 * (1 + (i + drawWhole(9, seed, id, "first")) % 9) + 500 * (i % 20) + drawWhole(500, seed, id, "number", i)),
  }));
}

const sentenceOf = ({ thing, digits }: Fact): string => ` The secret number of the ${thing} is ${digits}.`;

/** A prompt with facts at depths of it, and where they are. */
interface Hidden {
  readonly tokens: ReadonlyArray<number>;
  readonly needles: ReadonlyArray<readonly [number, number]>;
}

/** Sentences of a text in which no number is long enough to be taken for a fact. */
export const sentencesOf = (text: string): ReadonlyArray<string> =>
  text.split(/(?<=[.!?]["')”’]?)\s+/).map((s) => s.trim()).filter((s) => s !== "" && !/\d{3}/.test(s)).map((s) => ` ${s}`);

/** `tokens` tokens of a document's sentences from a random place on, with facts between sentences at these depths (0 to 1, ascending). */
function hide(
  recipe: Recipe,
  document: Document,
  tokens: number,
  placed: ReadonlyArray<readonly [Fact, number]>,
  id: string,
): Hidden | null {
  const { frame, seed } = recipe;
  const needles = placed.map(([fact, depth]) => ({ ids: frame.encode(sentenceOf(fact)), depth }));
  const room = tokens - needles.reduce((sum, { ids }) => sum + ids.length, 0);
  const sentences = sentencesOf(document.text).map(frame.encode);
  const all = sentences.reduce((sum, ids) => sum + ids.length, 0);
  if (all < room || room < 1) return null;
  const first = drawWhole(Math.max(1, Math.floor(sentences.length * (1 - room / all))), seed, id, "start");
  const hay: number[] = [];
  const found: [number, number][] = [];
  const waiting = [...needles];
  let read = 0;
  const insert = (upTo: number): void => {
    while (waiting[0] !== undefined && waiting[0].depth * room <= upTo) {
      found.push([hay.length, hay.length + waiting[0].ids.length]);
      hay.push(...waiting[0].ids);
      waiting.shift();
    }
  };
  insert(0);
  for (let s = first; s < sentences.length && read < room; s++) {
    const ids = sentences[s]?.slice(0, room - read) ?? [];
    hay.push(...ids);
    read += ids.length;
    insert(read);
  }
  return waiting.length > 0 ? null : { tokens: hay, needles: found };
}

function ask({ frame }: Recipe, { thing, digits }: Fact, others: ReadonlyArray<Fact>, age = 0): Probe {
  const question = frame.encode(`\n\nWhat is the secret number of the ${thing}?`);
  return {
    query: [...question, ...frame.tail, ...frame.encode(`The secret number of the ${thing} is `)],
    answer: frame.encode(digits),
    distractors: others.map((other) => frame.encode(other.digits)),
    age,
  };
}

/** One turn of prose with facts in it, shifted to where the turn begins. */
interface Placed {
  readonly turn: Turn;
  readonly needles: ReadonlyArray<readonly [number, number]>;
}

function item(task: TaskName, id: string, recipe: Recipe, document: Document, placed: ReadonlyArray<Placed>): Item {
  const { head } = recipe.frame;
  return {
    task,
    id,
    document: document.name,
    kind: document.kind,
    turns: placed.map(({ turn }, t) => t === 0 ? { ...turn, tokens: [...head, ...turn.tokens] } : turn),
    bare: head.length > 0 ? head : recipe.frame.encode("\n"),
    needles: placed.flatMap(({ needles }) => needles).map(([from, to]): [number, number] => [from + head.length, to + head.length]),
    trace: 0,
  };
}

/** An item whose one turn holds `count` facts and asks for the first `asked` of them. */
function single(task: TaskName, recipe: Recipe, document: Document, i: number, count: number, asked: number): Item | null {
  const id = `${task}-${i}-${document.name}`;
  const all = facts(count, recipe.seed, id);
  // The fact that is asked for walks through eleven depths from item to item; the others lie anywhere.
  const depths = all.map((_, f) => f === 0 ? (i % 11) / 10 : draw(recipe.seed, id, "depth", f));
  const placed = all.map((fact, f): [Fact, number] => [fact, depths[f] ?? 0]).sort((a, b) => a[1] - b[1]);
  const hidden = hide(recipe, document, recipe.tokens, placed, id);
  if (hidden === null) return null;
  const probes = all.slice(0, asked).map((fact) =>
    ask(recipe, fact, all.filter((other) => other !== fact).slice(0, task === "T3" ? 3 : 0))
  );
  const needles = hidden.needles.filter((_, n) => all.indexOf(placed[n]?.[0] ?? all[0] ?? { thing: "", digits: "" }) < asked);
  return item(task, id, recipe, document, [{ turn: { tokens: hidden.tokens, probes }, needles }]);
}

/** T2: one fact. */
export const needle = (recipe: Recipe, document: Document, i: number): Item | null => single("T2", recipe, document, i, 1, 1);

/** T3: one of 4 or 16 facts. */
export const distracted = (recipe: Recipe, document: Document, i: number): Item | null =>
  single("T3", recipe, document, i, i % 2 === 0 ? 4 : 16, 1);

/** T7: eight facts, all asked for. */
export const reused = (recipe: Recipe, document: Document, i: number): Item | null => single("T7", recipe, document, i, 8, 8);

const TURNS = 4;

/** T9: four turns, each a quarter of the tokens with one fact in the middle; after each turn every fact so far is asked for. */
export function turns(recipe: Recipe, document: Document, i: number): Item | null {
  const id = `T9-${i}-${document.name}`;
  const all = facts(TURNS, recipe.seed, id);
  const placed: Placed[] = [];
  let at = 0;
  for (const [t, fact] of all.entries()) {
    const hidden = hide(recipe, document, Math.floor(recipe.tokens / TURNS), [[fact, 0.5]], `${id}-${t}`);
    if (hidden === null) return null;
    const from = at;
    placed.push({
      turn: { tokens: hidden.tokens, probes: all.slice(0, t + 1).map((asked, f) => ask(recipe, asked, [], t - f)) },
      needles: hidden.needles.map(([start, end]) => [start + from, end + from]),
    });
    at += hidden.tokens.length;
  }
  return item("T9", id, recipe, document, placed);
}
