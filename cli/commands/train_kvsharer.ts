/**
 * `kvfold train kvsharer`: searches which layers of a model can do without rows of their own.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import { shuffled } from "../../calibrate/prompts.ts";
import { searchSharing, type SharingFound } from "../../calibrate/sharing.ts";
import { meansOf, similarityOf } from "../../calibrate/sharing_model.ts";
import { randomOf } from "../../conformance/random.ts";
import type { Model } from "../../model/model.ts";
import { kvSharer } from "../../papers/mod.ts";
import type { Command } from "../command.ts";
import { corpusTexts } from "../corpora.ts";
import type { Io } from "../io.ts";
import { RUNNING_BARE, withModel } from "../models.ts";
import { all, decimal, invalid, MANY, required, whole } from "../options.ts";
import { MODEL } from "../shared.ts";

/** Tokens of each text (arXiv 2410.18517, section 4). */
const TOKENS = 64;
/** Below this a map hurts, writing text most of all. */
const SAFE = 0.8;

/** The command. */
export const trainKvsharer: Command = {
  name: "train",
  subjects: ["kvsharer"],
  summary: "searches which layers can read the rows of others, most unlike pairs first, and prints the policy",
  about:
    "Texts of 64 tokens are read with trial maps; a map is kept where the model's predictions for all tokens stay alike (mean cosine of logits, where the " +
    "paper compares last hidden states). One map serves the whole model: see with compare what it costs on your text before you use it.",
  options: [
    MODEL,
    { name: "share", kind: "text", value: "N", about: "layers that should keep no rows (an eighth of them)" },
    { name: "threshold", kind: "text", value: "X", about: "least similarity of a map, -1 to 1 (0.5)" },
    { name: "texts", kind: "text", value: "N", about: "texts that are read (30)" },
    { name: "seed", kind: "text", value: "N", about: "of the choice of texts (1)" },
    ...RUNNING_BARE,
  ],
  examples: [{
    line: "train kvsharer --model SmolLM2-135M-Instruct --share 4",
    does: "prints a policy kvsharer([...]) in which four layers read the rows of earlier ones",
  }],
  run: (given, io) => async () => {
    const options = all({
      model: required(given, "model", MODEL.about),
      share: whole(given, "share", { from: 1, to: MANY }, null),
      threshold: decimal(given, "threshold", { from: -1, to: 1 }, 0.5),
      texts: whole(given, "texts", { from: 1, to: 1000 }, 30),
      seed: whole(given, "seed", { from: 0, to: MANY }, 1),
    });
    if (E.isLeft(options)) return options;
    const { model: name, ...asked } = options.right;
    return await withModel(given, io, name, (model) => async () => {
      const found = await searched(model, asked, io);
      if (E.isLeft(found)) return found;
      io.clear();
      const { from, shared, complete, similarity, trials } = found.right;
      const policy = kvSharer({ from }).text;
      io.out(
        given.flag("json")
          ? `${JSON.stringify({ policy, shared, complete, similarity, trials })}\n`
          : `${policy}\n\n${shared} of ${from.length} layers keep no rows; similarity ${similarity.toFixed(3)} after ${trials} trials\n`,
      );
      if (!complete) io.note("kvfold: no further pair of layers passed; this is the map so far");
      if (similarity < SAFE) {
        io.note(`kvfold: a similarity below ${SAFE} hurts, writing text most of all; share fewer layers, or compare first`);
      }
      return E.right(undefined);
    })();
  },
};

async function searched(
  model: Model,
  { share, threshold, texts, seed }: {
    readonly share: number | null;
    readonly threshold: number;
    readonly texts: number;
    readonly seed: number;
  },
  io: Io,
): Promise<E.Either<KvError, SharingFound>> {
  const documents = await corpusTexts(io)();
  const tokenizer = E.isLeft(documents) ? documents : model.tokenizer();
  if (E.isLeft(documents)) return documents;
  if (E.isLeft(tokenizer)) return tokenizer;
  const pieces = shuffled(randomOf("kvsharer", seed), documents.right.filter(({ split }) => split === "train"))
    .map(({ text }) => tokenizer.right.encode(text.slice(0, TOKENS * 8)).slice(0, TOKENS)).filter((ids) => ids.length === TOKENS).slice(
      0,
      texts,
    );
  if (pieces.length === 0) return invalid("--texts", String(texts), `texts of at least ${TOKENS} tokens`);
  const whole = await meansOf(model, pieces);
  if (E.isLeft(whole)) return whole;
  let trials = 0;
  const layers = model.spec.shape.layers.length;
  const wanted = share ?? Math.max(1, Math.floor(layers / 8));
  return await searchSharing(whole.right.layers, {
    share: wanted,
    threshold,
    similarity: (from) => {
      io.progress("trying maps", ++trials, null);
      return similarityOf(model, pieces, whole.right.logits)(from);
    },
  });
}
