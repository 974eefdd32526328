/**
 * Items of a task from documents and a seed: the same arguments give the same ids on every machine.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { drawSome } from "./draws.ts";
import type { Frame } from "./frame.ts";
import type { Document, Item, Kind, TaskName } from "./item.ts";
import { distracted, needle, reused, turns } from "./items_needle.ts";
import { gap, repeat, story } from "./items_repeat.ts";
import { continuation, reconstruction } from "./items_text.ts";

/** What items are made by. */
export interface Recipe {
  readonly frame: Frame;
  /** Of every random choice. */
  readonly seed: number;
  /** Tokens that are read before anything is asked. */
  readonly tokens: number;
  /** Tokens that are scored where the task has no answer of its own length. */
  readonly scored: number;
}

type Maker = (recipe: Recipe, document: Document, i: number) => Item | null;

const MAKERS: Readonly<Record<TaskName, { readonly make: Maker; readonly kinds: ReadonlyArray<Kind> }>> = {
  T1: { make: continuation, kinds: ["prose", "code", "dialogue", "reference", "synthetic"] },
  T2: { make: needle, kinds: ["prose", "reference", "synthetic"] },
  T3: { make: distracted, kinds: ["prose", "reference", "synthetic"] },
  T5: { make: repeat, kinds: ["prose", "synthetic"] },
  T6: { make: gap, kinds: ["prose", "synthetic"] },
  T7: { make: reused, kinds: ["prose", "reference", "synthetic"] },
  T8: { make: reconstruction, kinds: ["prose", "dialogue", "reference", "synthetic"] },
  T9: { make: turns, kinds: ["prose", "reference", "synthetic"] },
  T10: { make: story, kinds: ["prose", "code", "dialogue", "reference", "synthetic"] },
};

/** `count` items of one task, one document after another and round again. Left if no document is long enough, or the documents are too few
 * for statistics over documents.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { orThrow } from "../mod.ts";
 * import { inductionModel } from "../model/induction.ts";
 * import { frameOf } from "./frame.ts";
 * import { syntheticDocuments } from "./synthetic.ts";
 * const frame = frameOf(await orThrow(() => Promise.resolve(inductionModel().tokenizer())));
 * const made = itemsOf("T2", syntheticDocuments(2, 40, 1), { frame, seed: 1, tokens: 200, scored: 16 }, 3);
 * assertEquals(E.isRight(made) ? made.right.map(({ document }) => document).sort() : [], ["synthetic-0", "synthetic-1", "synthetic-1"]);
 * ```
 */
export function itemsOf(
  task: TaskName,
  documents: ReadonlyArray<Document>,
  recipe: Recipe,
  count: number,
): Either<KvError, ReadonlyArray<Item>> {
  const { make, kinds } = MAKERS[task];
  const fit = drawSome(documents.filter(({ kind }) => kinds.includes(kind)), documents.length, recipe.seed, "order");
  // Documents of one kind follow those of another, so that few items still are of every kind.
  const order = interleaved(fit).filter((document) => make(recipe, document, 0) !== null);
  if (order.length < 2) {
    return E.left({
      _tag: "InvalidArgument",
      argument: "the corpus",
      value: `${order.length} documents that are long enough for ${task} at ${recipe.tokens} tokens`,
      allowed: "at least 2: intervals are taken over documents",
    });
  }
  const items = Array.from({ length: count }, (_, i) => make(recipe, order[i % order.length] ?? order[0] ?? EMPTY, i));
  return E.right(items.flatMap((item) => item === null ? [] : [item]));
}

const EMPTY: Document = { name: "", kind: "synthetic", text: "" };

function interleaved(documents: ReadonlyArray<Document>): ReadonlyArray<Document> {
  const kinds = [...new Set(documents.map(({ kind }) => kind))].sort();
  const rows = kinds.map((kind) => documents.filter((document) => document.kind === kind));
  const longest = Math.max(0, ...rows.map((row) => row.length));
  return Array.from({ length: longest }, (_, i) => rows.flatMap((row) => row[i] ?? [])).flat();
}
