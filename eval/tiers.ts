/**
 * Sizes of an evaluation: one for every change, one for every night, one for published tables.
 * @module
 */
import type { TaskName } from "./item.ts";
import { TASKS } from "./item.ts";

/** What a tier fixes where nothing else is said. */
export interface Tier {
  readonly tasks: ReadonlyArray<TaskName>;
  /** Tokens read per item. */
  readonly tokens: number;
  /** Items per task. */
  readonly items: number;
  /** Tokens scored where the task does not say. */
  readonly scored: number;
  /** Shares of the rows for controls, and for `@` in policies, percent. */
  readonly budgets: ReadonlyArray<string>;
}

/** The three tiers. */
export const TIERS: Readonly<Record<"smoke" | "nightly" | "full", Tier>> = {
  smoke: { tasks: ["T2", "T5", "T8"], tokens: 160, items: 2, scored: 32, budgets: ["50%", "25%"] },
  nightly: { tasks: TASKS, tokens: 1024, items: 20, scored: 128, budgets: ["50%", "25%", "12.5%"] },
  full: { tasks: TASKS, tokens: 1024, items: 40, scored: 256, budgets: ["75%", "50%", "33%", "25%", "12.5%"] },
};

/** Policies that are compared where none are named; `@` stands for each budget. What acts at the end of the prompt acts there only, so that
 * a question is answered from what the prompt left. */
export const POLICIES_OF_TIERS: ReadonlyArray<string> = [
  "streamingllm(@, decode=no)",
  "streamingllm(@, sinks=0, decode=no)",
  "knorm(@)",
  "keydiff(@)",
  "tova(@, decode=no)",
  "h2o(@, decode=no)",
  "snapkv(@)",
  "snapkv(@)|ada(20%)",
];
