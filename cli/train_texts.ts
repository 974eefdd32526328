/**
 * The prompts of a training: which texts they come from, and which are held out.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { createHash } from "node:crypto";
import { CORPORA, type TextDocument } from "../calibrate/corpus.ts";
import { LENGTHS, promptsOf, type PromptSource, type TrainingPrompt } from "../calibrate/prompts.ts";
import type { KvError } from "../cache/error.ts";
import type { Document } from "../eval/item.ts";
import type { Tokenizer } from "../model/types.ts";
import { corpusTexts } from "./corpora.ts";
import { documentsIn } from "./eval_documents.ts";
import type { Io } from "./io.ts";
import { invalid } from "./options.ts";
import type { Job } from "./train_job.ts";

/** Texts, and where their prompts come from. */
export interface Texts {
  readonly documents: ReadonlyArray<TextDocument>;
  readonly sources: ReadonlyArray<PromptSource>;
  /** SHA-256 of all of them. */
  readonly hash: string;
  readonly builtIn: boolean;
}

/** Prompts for one purpose. */
export interface PromptSet {
  /** Beginning of the names of its shards. */
  readonly name: "train" | "validation" | "other";
  /** For a person. */
  readonly about: string;
  readonly prompts: ReadonlyArray<TrainingPrompt>;
}

/** The folder's texts, of which one in ten (the last of fewer) is held out; or the built-in ones with their splits. */
export const textsFor = ({ documents: folder }: Pick<Job, "documents">, io: Io): TE.TaskEither<KvError, Texts> =>
  folder === null
    ? TE.map((documents: ReadonlyArray<TextDocument>) => texts(documents, CORPORA, true))(corpusTexts(io))
    : pipe(documentsIn(folder), TE.chainEitherK((found) => ownTexts(folder, found)));

function ownTexts(folder: string, found: ReadonlyArray<Pick<Document, "name" | "text">>): E.Either<KvError, Texts> {
  if (found.length < 2) return invalid("--documents", `${folder}, which has one file`, "two or more, so that one can be held out");
  const held = (i: number): boolean => found.length < 10 ? i === found.length - 1 : i % 10 === 9;
  const documents = found.map(({ name, text }, i): TextDocument => ({ id: `text/${name}`, split: held(i) ? "tune" : "train", text }));
  return E.right(texts(documents, [{ name: "text", share: 1 }], false));
}

function texts(documents: ReadonlyArray<TextDocument>, sources: ReadonlyArray<PromptSource>, builtIn: boolean): Texts {
  const hash = createHash("sha256");
  documents.forEach(({ id, split, text }) => hash.update(JSON.stringify([id, split, text])));
  return { documents, sources, hash: hash.digest("hex"), builtIn };
}

/** The sets: training first, then what figures are reported on. Left for texts that are too short or too few. */
export function promptSets(
  tokenizer: Tokenizer,
  { documents, sources, builtIn }: Texts,
  job: Job,
): E.Either<KvError, ReadonlyArray<PromptSet>> {
  const { seed } = job;
  const train = promptsOf(tokenizer, documents, { split: "train", count: job.prompts, seed, sources });
  const held = { count: job.heldOut, seed, sources };
  const tune = promptsOf(tokenizer, documents, { ...held, split: "tune" });
  const sets: ReadonlyArray<PromptSet> = builtIn
    ? [
      { name: "train", about: "training", prompts: train },
      {
        name: "validation",
        about: "same sources",
        prompts: promptsOf(tokenizer, documents, { ...held, split: "train", apartFrom: train }),
      },
      { name: "other", about: "other genres and decades", prompts: tune },
    ]
    : [{ name: "train", about: "training", prompts: train }, { name: "validation", about: "held-out files", prompts: tune }];
  const empty = sets.find(({ prompts }) => prompts.length === 0);
  return empty === undefined ? E.right(sets) : invalid(
    job.documents === null ? "--prompts" : "--documents",
    `no prompt for ${empty.name === "train" ? "training" : "holding out"}${job.documents === null ? "" : ` in ${job.documents}`}`,
    `texts of more than ${LENGTHS.above} tokens, both among those that are trained on and among one in ten that is held out`,
  );
}
