/**
 * `kvfold train kvzap`: makes the small networks that KVzap prunes by, for a model of one's own.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type * as TE from "fp-ts/TaskEither.js";
import { join } from "node:path";
import { FLOOR } from "../../calibrate/pairs.ts";
import type { Kind } from "../../calibrate/train.ts";
import type { KvError } from "../../cache/error.ts";
import type { Model } from "../../model/model.ts";
import { NORMS } from "../../model/norms.ts";
import { readSafetensors, writeSafetensors } from "../../model/safetensors.ts";
import { readSurrogate } from "../../model/surrogate.ts";
import type { Command } from "../command.ts";
import { writeWhole } from "../files.ts";
import type { Io } from "../io.ts";
import { RUNNING, withModel } from "../models.ts";
import { invalid } from "../options.ts";
import { grouped, wrapped } from "../table.ts";
import type { Made, Metrics, Network } from "../train_card.ts";
import { type Job, jobOf, kindOf, TRAIN_OPTIONS } from "../train_job.ts";
import { claim, collectAll, deadHeads, fitAll, type StoredFit } from "../train_run.ts";
import { promptSets, type Texts, textsFor } from "../train_texts.ts";

/** The command. */
export const trainKvzap: Command = {
  name: "train",
  subjects: ["kvzap"],
  summary: "trains the networks that KVzap prunes by, for any model that loads",
  about:
    "Reads prompts of 750 to 1250 tokens, lets the model repeat them, and fits per layer a network that predicts from a token's hidden " +
    "state the logarithm of its KVzip+ score. Pairs and fitted layers are kept in the folder of --out, so the same command goes on where it " +
    "was stopped and comes to the same numbers. A prompt takes about as long as reading 2,000 tokens.",
  options: [...TRAIN_OPTIONS, ...RUNNING.filter(({ name }) => name !== "surrogate")],
  examples: [{
    line: "train kvzap --model SmolLM2-135M-Instruct --documents texts --prompts 40 --out trained",
    does: "trains on the files of texts; then --surrogate trained/smollm2-135m-instruct.kvzap-mlp.safetensors prunes with the result",
  }],
  run: (given, io) => async () => {
    const job = jobOf(given);
    if (E.isLeft(job)) return job;
    const texts = await textsFor(job.right, io)();
    if (E.isLeft(texts)) return texts;
    return await withModel(given, io, job.right.model, (model, called) => async () => {
      const metrics = await trained(model, called, job.right, texts.right, io)();
      if (E.isLeft(metrics)) return metrics;
      io.clear();
      io.out(
        given.flag("json") ? `${JSON.stringify({ out: job.right.out, ...metrics.right })}\n` : await said(metrics.right, job.right.out),
      );
      return E.right(undefined);
    })();
  },
};

const trained = (model: Model, called: string, job: Job, texts: Texts, io: Io): TE.TaskEither<KvError, Metrics> => async () => {
  const tokenizer = model.tokenizer();
  const sets = E.isLeft(tokenizer) ? tokenizer : promptSets(tokenizer.right, texts, job);
  if (E.isLeft(sets)) return sets;
  const { hidden } = model.spec.shape;
  const drawn = sets.right[0]?.prompts.length ?? 0;
  const pairs = drawn * job.positions;
  if (pairs < hidden) {
    return invalid("--prompts", `${pairs} training pairs`, `at least ${hidden}, as many as the model has hidden channels`);
  }
  const same = { norms: model.norms, backend: model.backend.name, positions: job.positions, seed: job.seed, texts: texts.hash };
  if (drawn < job.prompts) io.note(`kvfold: the texts have room for ${drawn} of ${job.prompts} training prompts`);
  const claimed = await claim(job.out, { format: 1, model: called, ...same })();
  if (E.isLeft(claimed)) return claimed;
  const shards = await collectAll(model, job, sets.right, io)();
  if (E.isLeft(shards)) return shards;
  const kinds = job.kinds.map((tag) => kindOf(job, tag, hidden));
  const fits = await fitAll(model, job.out, kinds, shards.right, io)();
  if (E.isLeft(fits)) return fits;
  const { dead, heads } = deadHeads(fits.right[0] ?? []);
  const share = `${dead} of ${heads} heads of ${called} give no training row a KVzip+ score of ${FLOOR} or more`;
  if (dead === heads) {
    return E.left({ _tag: "Unsupported", what: "training on these texts", where: "this model", because: `${share}: nothing to learn` });
  }
  if (dead > 0) io.note(`kvfold: ${share}; their networks say so for every row`);
  const made: Made = {
    ...same,
    model: called,
    builtIn: texts.builtIn,
    sets: sets.right.map(({ about, prompts }) => ({ about, prompts: prompts.length })),
  };
  const networks = kinds.map((kind, k): Network => {
    const score = kind._tag === "Linear" ? "kvzap-linear" : "kvzap-mlp";
    return { score, kind, fits: fits.right[k] ?? [], file: `${slugOf(called)}.${score}.safetensors` };
  });
  return await written(model, job.out, made, networks, io)();
};

/** A name as a file name has it. */
const slugOf = (name: string): string => name.toLowerCase().replace(/\.gguf$/, "").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

/** Writes weights, card, numbers and plots; weights first, because nothing else is of use without them. */
const written =
  (model: Model, out: string, made: Made, networks: ReadonlyArray<Network>, io: Io): TE.TaskEither<KvError, Metrics> => async () => {
    for (const { score, file, kind, fits } of networks) {
      const bytes = weightsOf(model, made, score, kind, fits);
      const wrote = E.isLeft(bytes) ? bytes : await writeWhole(join(out, file), bytes.right)();
      if (E.isLeft(wrote)) return wrote;
    }
    io.progress("writing the card", 0, null);
    // Drawing needs a large library, which no other command should wait for.
    const { card, lossPlot, metricsOf, qualityPlot } = await import("../train_card.ts");
    const metrics = metricsOf(made, networks);
    const loss = lossPlot(made, networks);
    const plots = [
      ...loss === null ? [] : [["loss", loss] as const],
      ...networks.map((n) => [`r2-${n.score}`, qualityPlot(made, n)] as const),
    ];
    const texts: (readonly [string, string])[] = [["README.md", card(made, networks)], ["metrics.json", `${JSON.stringify(metrics)}\n`]];
    for (const [name, plot] of plots) {
      const svg = await plot();
      if (E.isLeft(svg)) return svg;
      texts.push([`${name}.svg`, svg.right]);
    }
    for (const [name, text] of texts) {
      const wrote = await writeWhole(join(out, name), text)();
      if (E.isLeft(wrote)) return wrote;
    }
    return E.right(metrics);
  };

/** A file under the published names that the loader takes for this model. */
function weightsOf(model: Model, made: Made, score: string, kind: Kind, fits: ReadonlyArray<StoredFit>): E.Either<KvError, Uint8Array> {
  const tensors = fits.flatMap((fit, l) => fit.tensors.map((t) => ({ ...t, name: `layers.${l}.${t.name}` })));
  const metadata = new Map([
    ["model", made.model],
    [NORMS, made.norms],
    ["recipe", JSON.stringify(kind)],
    ["texts.sha256", made.texts],
  ]);
  const bytes = writeSafetensors(tensors, metadata);
  if (E.isLeft(bytes)) return bytes;
  const read = E.chain(readSurrogate(score, model.spec.shape))(readSafetensors(`${score} as trained`, bytes.right));
  return E.isLeft(read) ? read : bytes;
}

async function said(metrics: Metrics, out: string): Promise<string> {
  const { summary } = await import("../train_card.ts");
  const [first] = metrics.sets;
  const head = `KVzap for ${metrics.model} on ${metrics.backend}: ${
    grouped((first?.prompts ?? 0) * metrics.positions)
  } training pairs per head, out of ${grouped(first?.prompts ?? 0)} prompts\n`;
  const notes =
    `R2 is the squared correlation with KVzip+, the mean over all heads; 2x at is the threshold that drops half of the held-out rows. ` +
    `${out}/README.md is the card. Prune with it: --surrogate ${
      metrics.networks.map(({ file }) => join(out, file)).join(" or ")
    } --policy 'kvzap(${metrics.networks.at(-1)?.thresholds[3]?.toFixed(1)})'.`;
  return `${head}\n${summary(metrics)}\n${wrapped(notes, 110, "")}`;
}
