/**
 * What `kvfold train kvzap` is asked, out of its options.
 * @module
 */
import type { Either } from "fp-ts/Either.js";
import * as E from "fp-ts/Either.js";
import { RECIPE } from "../calibrate/mlp.ts";
import { LENGTHS } from "../calibrate/prompts.ts";
import { ALPHA, type Kind } from "../calibrate/train.ts";
import type { KvError } from "../cache/error.ts";
import { all, decimal, type Given, MANY, oneOf, type Option, required, whole } from "./options.ts";
import { MODEL, TRAIN_DOCUMENTS } from "./shared.ts";

/** A training to run. */
export interface Job {
  readonly model: string;
  readonly out: string;
  /** Folder of texts; null for those that are built in. */
  readonly documents: string | null;
  readonly kinds: ReadonlyArray<Kind["_tag"]>;
  /** Prompts to train on, and per set of held-out prompts. */
  readonly prompts: number;
  readonly heldOut: number;
  /** Positions per prompt. */
  readonly positions: number;
  readonly seed: number;
  readonly alpha: number;
  /** Width of the MLP; null for an eighth of the model's. */
  readonly inner: number | null;
  readonly epochs: number;
  readonly rate: number;
  readonly decay: number;
}

/** Where nothing is said. The paper has about 2,400 prompts, as many positions, 15 epochs and a decay of 0.01. */
const DEFAULTS = { prompts: 160, heldOut: 24, positions: 500, seed: 1 } as const;

/** Options beside those of running a model. */
export const TRAIN_OPTIONS: ReadonlyArray<Option> = [
  MODEL,
  { name: "out", kind: "text", value: "FOLDER", about: "where pairs, weights, their card, numbers and plots are written" },
  TRAIN_DOCUMENTS,
  { name: "kind", kind: "text", value: "NAME", about: "linear, mlp or both (both)" },
  { name: "prompts", kind: "text", value: "N", about: `prompts to train on (${DEFAULTS.prompts})` },
  { name: "held-out", kind: "text", value: "N", about: `prompts per held-out set (${DEFAULTS.heldOut})` },
  { name: "positions", kind: "text", value: "N", about: `positions per prompt (${DEFAULTS.positions})` },
  { name: "alpha", kind: "text", value: "X", about: `ridge penalty of the linear network (${ALPHA})` },
  { name: "inner", kind: "text", value: "N", about: "inner width of the MLP (an eighth of the model's hidden width)" },
  { name: "epochs", kind: "text", value: "N", about: `of the MLP (${RECIPE.epochs})` },
  { name: "rate", kind: "text", value: "X", about: `learning rate of the MLP (${RECIPE.rate})` },
  { name: "decay", kind: "text", value: "X", about: `weight decay of the MLP (${RECIPE.decay})` },
  { name: "seed", kind: "text", value: "N", about: `of prompts, positions and first weights (${DEFAULTS.seed})` },
];

/** The job, or the first option that is wrong. */
export const jobOf = (given: Given): Either<KvError, Job> =>
  E.map(({ kind, ...rest }: Omit<Job, "documents" | "kinds"> & { readonly kind: "linear" | "mlp" | "both" }): Job => ({
    ...rest,
    documents: given.text("documents"),
    kinds: kind === "both" ? ["Linear", "Mlp"] : [kind === "linear" ? "Linear" : "Mlp"],
  }))(all({
    model: required(given, "model", MODEL.about),
    out: required(given, "out", "a folder"),
    kind: oneOf(given, "kind", ["linear", "mlp", "both"], "both"),
    prompts: whole(given, "prompts", { from: 1, to: 100_000 }, DEFAULTS.prompts),
    heldOut: whole(given, "held-out", { from: 1, to: 100_000 }, DEFAULTS.heldOut),
    // Every prompt has more tokens than this.
    positions: whole(given, "positions", { from: 1, to: LENGTHS.above }, DEFAULTS.positions),
    seed: whole(given, "seed", { from: 0, to: MANY }, DEFAULTS.seed),
    alpha: decimal(given, "alpha", { from: 0, to: 1e12 }, ALPHA),
    inner: whole(given, "inner", { from: 1, to: 65_536 }, null),
    epochs: whole(given, "epochs", { from: 1, to: 10_000 }, RECIPE.epochs),
    rate: decimal(given, "rate", { from: 0, to: 100 }, RECIPE.rate),
    decay: decimal(given, "decay", { from: 0, to: 100 }, RECIPE.decay),
  }));

/** A network of the job, for a model of this hidden width. */
export const kindOf = (job: Job, tag: Kind["_tag"], hidden: number): Kind =>
  tag === "Linear" ? { _tag: "Linear", alpha: job.alpha } : {
    _tag: "Mlp",
    inner: job.inner ?? Math.max(1, Math.floor(hidden / 8)),
    recipe: { epochs: job.epochs, rate: job.rate, decay: job.decay, clip: RECIPE.clip, seed: job.seed },
  };
