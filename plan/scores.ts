/**
 * Scores as the planner sees them: what they look at, and what of it a moment or a model cannot give.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { inside } from "../policy/score.ts";
import type { Moment, QuerySet, Score } from "../policy/types.ts";
import { invalid, unsupported } from "./resolve.ts";
import type { Target } from "./types.ts";

/** The queries that a score itself looks at, or null. */
export function queriesOf(score: Score): QuerySet | null {
  switch (score._tag) {
    case "Attention":
      return score.queries;
    case "Nearby":
      return { _tag: "Current" };
    case "Expected":
    case "GroupVotes":
      return { _tag: "Last", count: score.queries };
    case "TailLoss":
      return { _tag: "Last", count: 1 };
    default:
      return null;
  }
}

/** True for what a network or a gate says of a run's own rows. */
export const isPredicted = (score: Score): score is Predicted => score._tag === "Learned" || score._tag === "Gate";

type Predicted = Extract<Score, { readonly _tag: "Learned" | "Gate" }>;

/** Every score inside a score, itself first. */
export const scoresIn = (score: Score): ReadonlyArray<Score> => [score, ...inside(score).flatMap(scoresIn)];

/** Attention needs queries: those of the run, or a window of the last ones that the prompt can fill. Learned scores need networks. */
export const scoreError = (score: Score, moment: Moment, target: Target, path: string): E.Either<KvError, void> =>
  scoresIn(score).map((one) => ownError(one, moment, target, path)).find(E.isLeft) ?? E.right(undefined);

function ownError(score: Score, moment: Moment, target: Target, path: string): E.Either<KvError, void> {
  if (isPredicted(score)) return learnedError(score, target, path);
  if (score._tag === "Reconstruction" && target.reconstructs !== true) {
    return E.left({ _tag: "MissingPort", port: "reconstruction", wantedBy: `${path}: the model must read its prompt again` });
  }
  if (score._tag === "PageBound" || score._tag === "Centroid") {
    return unsupported(
      `${score._tag} outside Select`,
      path,
      "it is what a page or cluster promises the query that chooses rows; use it in Select",
    );
  }
  const queries = queriesOf(score);
  return queries === null ? E.right(undefined) : queriesError(queries, moment, target, `${path}.score`);
}

/** Queries of the run are not there at the end of the prompt, and a window of the last ones is at most the prompt. */
export function queriesError(queries: QuerySet, moment: Moment, target: Target, path: string): E.Either<KvError, void> {
  if (queries._tag === "Current") {
    return moment._tag !== "PrefillEnd" ? E.right(undefined) : invalid(
      `${path}.queries`,
      "Current",
      "Last(count) at the moment PrefillEnd, which comes after the runs that have queries",
    );
  }
  const duringPrefill = moment._tag === "PrefillEnd" || moment._tag === "Append";
  return queries.count >= 1 && !(duringPrefill && queries.count > target.promptTokens) ? E.right(undefined) : invalid(
    `${path}.queries.count`,
    queries.count,
    `an observation window from 1 to the prompt's ${target.promptTokens} tokens`,
  );
}

/** The model must have been opened with the network, and it must be of the kind that the score is. */
function learnedError(
  { _tag, name }: Predicted,
  target: Target,
  path: string,
): E.Either<KvError, void> {
  const forms = target.learned?.[name];
  const what = `the ${_tag === "Gate" ? "gate" : "network"} "${name}" that ${path} scores with`;
  if (forms === undefined) {
    const because = "the model was opened without its weights; give them as surrogates, on the command line by --surrogate";
    return E.left({ _tag: "Unavailable", what, because });
  }
  const fits = forms.every((form) => (form._tag === "KeyGate") === (_tag === "Gate"));
  return fits ? E.right(undefined) : E.left({ _tag: "Unavailable", what, because: "the weights of that name are of the other kind" });
}
