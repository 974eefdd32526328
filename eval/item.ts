/**
 * Items of an evaluation: token ids to read, questions about them with the answers that are scored, and which rows an oracle must keep.
 * @module
 */

/** Tasks by name; `docs/evaluation.md` says what each asks. */
export const TASKS = ["T1", "T2", "T3", "T5", "T6", "T7", "T8", "T9", "T10"] as const;

/** One of {@link TASKS}. */
export type TaskName = (typeof TASKS)[number];

/** What a document is: policies keep different shares of each. */
export type Kind = "prose" | "code" | "dialogue" | "reference" | "synthetic";

/** A document that items are made from. */
export interface Document {
  /** Unique. */
  readonly name: string;
  /** What it is. */
  readonly kind: Kind;
  /** Its text, cleaned: paragraphs are lines, nothing wrapped inside them. */
  readonly text: string;
}

/** Something asked of a compressed cache: `query` is read, then `answer` is scored, teacher-forced. */
export interface Probe {
  /** Ids read before the answer; may be empty. */
  readonly query: ReadonlyArray<number>;
  /** Ids that are scored; at least one. */
  readonly answer: ReadonlyArray<number>;
  /** Answers of the same length that other parts of the text suggest. */
  readonly distractors: ReadonlyArray<ReadonlyArray<number>>;
  /** How many turns ago the answer was read; 0 for the newest. */
  readonly age: number;
}

/** Text that is read and compressed, and what is asked then. */
export interface Turn {
  readonly tokens: ReadonlyArray<number>;
  readonly probes: ReadonlyArray<Probe>;
}

/** One item: all policies get the same. */
export interface Item {
  readonly task: TaskName;
  /** Unique within the task. */
  readonly id: string;
  /** What statistics resample: items of one document are not independent. */
  readonly document: string;
  readonly kind: Kind;
  /** Each is read into the cache the one before left, and compressed again. */
  readonly turns: ReadonlyArray<Turn>;
  /** What stands for the text where the context is withheld: the end of it, or the head of the chat. */
  readonly bare: ReadonlyArray<number>;
  /** Positions [from, to) that answer the questions. */
  readonly needles: ReadonlyArray<readonly [number, number]>;
  /** Tokens that the full cache continues the text by, greedily, to be followed by every policy; 0 for none. */
  readonly trace: number;
}

/** Tokens that all turns read. */
export const tokensOf = (item: Item): number => item.turns.reduce((sum, { tokens }) => sum + tokens.length, 0);
