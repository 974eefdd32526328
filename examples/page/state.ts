/**
 * What the page knows, as a left fold over what happens: a new value per event, nothing changed in place.
 * @module
 */
import type { BackendChoice, Kept, Opened, Reading, Report } from "./messages.ts";

/** One policy on the text. */
export interface Run {
  readonly id: number;
  /** Short text form. */
  readonly policy: string;
  readonly phase: "waiting" | "reading" | "answering" | "done" | "stopped" | "failed";
  /** The text of each token of the document. */
  readonly pieces: ReadonlyArray<string>;
  readonly reading: Reading | null;
  readonly kept: Kept | null;
  readonly answer: string;
  /** Of the answer. */
  readonly tokensPerSecond: number | null;
  /** Why it failed. */
  readonly problem: string | null;
}

/** Everything that is shown. */
export interface Page {
  readonly backends: ReadonlyArray<BackendChoice>;
  /** Share of the weights that is loaded, or null when nothing is being opened. */
  readonly loading: number | null;
  readonly opened: Opened | null;
  /** Why opening failed. */
  readonly problem: string | null;
  /** What the runs have in common (model, document, question), as text: another task starts a new list. */
  readonly task: string;
  readonly runs: ReadonlyArray<Run>;
  /** The run whose rows are shown. */
  readonly shown: number | null;
}

/** What happens: reports of the worker, and what the person does. */
export type Event =
  | Report
  | { readonly _tag: "Opening" }
  | {
    readonly _tag: "Asked";
    readonly task: string;
    /** Whether the runs that are there stay beside the new ones. */
    readonly beside: boolean;
    readonly runs: ReadonlyArray<Pick<Run, "id" | "policy">>;
  }
  | { readonly _tag: "Shown"; readonly run: number };

/** Before anything happened. */
export const empty: Page = { backends: [], loading: null, opened: null, problem: null, task: "", runs: [], shown: null };

/** True while something is under way. */
export const isBusy = ({ loading, runs }: Page): boolean => loading !== null || runs.some(isUnderWay);

/** The run whose rows are shown. */
export const shownRun = ({ runs, shown }: Page): Run | null => runs.find(({ id }) => id === shown) ?? null;

const isUnderWay = ({ phase }: Run): boolean => phase === "waiting" || phase === "reading" || phase === "answering";

/** The page after an event. */
export function next(page: Page, event: Event): Page {
  switch (event._tag) {
    case "Ready":
      return { ...page, backends: event.backends };
    case "Opening":
      return { ...page, loading: 0, opened: null, problem: null };
    case "Loading":
      return { ...page, loading: event.share };
    case "Opened":
      return { ...page, loading: null, opened: event.opened };
    case "Moved":
      return { ...page, opened: event.opened, problem: event.sentence };
    case "Asked":
      return { ...page, task: event.task, problem: null, runs: [...event.beside ? page.runs : [], ...event.runs.map(waiting)] };
    case "Shown":
      return { ...page, shown: event.run };
    case "Failed":
      return event.run === null
        ? { ...page, loading: null, problem: event.sentence, runs: page.runs.filter((run) => !isUnderWay(run)) }
        : changed(page, event.run, { phase: "failed", problem: event.sentence });
    case "Started":
      return { ...changed(page, event.run, { phase: "reading", pieces: event.pieces }), shown: event.run };
    case "Reading":
      return changed(page, event.run, { reading: event.reading });
    case "Kept":
      return changed(page, event.run, { kept: event.kept });
    case "Answering":
      return changed(page, event.run, { phase: "answering", answer: event.text, tokensPerSecond: event.tokensPerSecond });
    case "Stopped":
      return changed(page, event.run, { phase: "stopped" });
    case "Finished":
      return changed(page, event.run, { phase: "done" });
  }
}

const waiting = ({ id, policy }: Pick<Run, "id" | "policy">): Run => ({
  id,
  policy,
  phase: "waiting",
  pieces: [],
  reading: null,
  kept: null,
  answer: "",
  tokensPerSecond: null,
  problem: null,
});

const changed = (page: Page, id: number, changes: Partial<Run>): Page => ({
  ...page,
  runs: page.runs.map((run) => run.id === id ? { ...run, ...changes } : run),
});
