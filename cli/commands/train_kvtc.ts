/**
 * `kvfold train kvtc`: calibrates the transforms that KVTC stores caches with.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import { promptsOf } from "../../calibrate/prompts.ts";
import { calibrateTransforms } from "../../calibrate/transform.ts";
import type { Model } from "../../model/model.ts";
import { readSafetensors, writeSafetensors } from "../../model/safetensors.ts";
import { planAt, readTransforms, streams, type Transforms, widthOf } from "../../model/transform.ts";
import type { Command } from "../command.ts";
import { corpusTexts } from "../corpora.ts";
import { writeWhole } from "../files.ts";
import type { Io } from "../io.ts";
import { RUNNING_BARE, withModel } from "../models.ts";
import { all, decimal, invalid, MANY, required, whole } from "../options.ts";
import { MODEL } from "../shared.ts";
import { grouped, megabytes, table } from "../table.ts";

/** Widest transform whose components are found here: time grows with the third power. */
const WIDEST = 2048;
/** Rows on which quantisers are measured. */
const SAMPLES = 1024;

/** The command. */
export const trainKvtc: Command = {
  name: "train",
  subjects: ["kvtc"],
  summary: "calibrates the transforms that kvtc stores a cache with, for any model that loads",
  about:
    "Reads texts of 750 to 1250 tokens (State of the Union addresses, the Brown corpus and code, fetched once), finds the principal components of keys " +
    "and values of neighbouring layers, and measures every quantiser on them. Bit plans for any ratio follow from the file. The same seed gives the same file.",
  options: [
    MODEL,
    { name: "out", kind: "text", value: "FILE", about: "where the transforms go" },
    { name: "layers", kind: "text", value: "N", about: "neighbouring layers that are transformed together (2)" },
    { name: "rank", kind: "text", value: "X", about: "most components, as a share of the channels, 0.05 to 1 (0.5)" },
    { name: "prompts", kind: "text", value: "N", about: "texts that are read (24)" },
    { name: "seed", kind: "text", value: "N", about: "of the choice of texts (1)" },
    ...RUNNING_BARE,
  ],
  examples: [{
    line: "train kvtc --model SmolLM2-135M-Instruct --out smollm2.kvtc.safetensors",
    does: "calibrates; then generate --kvtc smollm2.kvtc.safetensors --save-cache a.kv --save-as 'kvtc(10)' saves a tenth",
  }],
  run: (given, io) => async () => {
    const options = all({
      model: required(given, "model", MODEL.about),
      out: required(given, "out", "a file to write"),
      layersPerGroup: whole(given, "layers", { from: 1, to: MANY }, 2),
      rank: decimal(given, "rank", { from: 0.05, to: 1 }, 0.5),
      count: whole(given, "prompts", { from: 1, to: 10_000 }, 24),
      seed: whole(given, "seed", { from: 0, to: MANY }, 1),
    });
    if (E.isLeft(options)) return options;
    const { model: name, out, ...asked } = options.right;
    return await withModel(given, io, name, (model, called) => async () => {
      const made = await calibrated(model, called, asked, io);
      if (E.isLeft(made)) return made;
      const wrote = await writeWhole(out, made.right.bytes)();
      if (E.isLeft(wrote)) return wrote;
      io.clear();
      const summary = summaryOf(made.right.transforms);
      io.out(
        given.flag("json")
          ? `${JSON.stringify({ out, tokens: made.right.tokens, bytes: made.right.bytes.length, ratios: summary })}\n`
          : said(out, made.right, summary),
      );
      return E.right(undefined);
    })();
  },
};

interface Made {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly transforms: Transforms;
  readonly tokens: number;
}

async function calibrated(
  model: Model,
  called: string,
  { layersPerGroup, rank, count, seed }: Readonly<Record<"layersPerGroup" | "rank" | "count" | "seed", number>>,
  io: Io,
): Promise<E.Either<KvError, Made>> {
  const { shape } = model.spec;
  const together = Math.min(layersPerGroup, shape.layers.length);
  const width = Math.max(...streams.map((stream) => widthOf(shape.layers.slice(0, together), stream)));
  if (width > WIDEST) {
    return invalid("--layers", `${layersPerGroup} layers of together ${width} channels`, `fewer layers: at most ${WIDEST} channels`);
  }
  const documents = await corpusTexts(io)();
  if (E.isLeft(documents)) return documents;
  const tokenizer = model.tokenizer();
  if (E.isLeft(tokenizer)) return tokenizer;
  const prompts = promptsOf(tokenizer.right, documents.right, { split: "train", count, seed }).map(({ tokens }) => tokens);
  const tensors = await calibrateTransforms(model, { prompts, layersPerGroup: together, rank, samples: SAMPLES, progress: io.progress })();
  if (E.isLeft(tensors)) return tensors;
  const { weights } = await model.digests();
  const tokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
  const about = { kind: "kvtc", model: called, weights, layersPerGroup: String(together), seed: String(seed), tokens: String(tokens) };
  const bytes = writeSafetensors(tensors.right, new Map(Object.entries(about)));
  if (E.isLeft(bytes)) return bytes;
  const read = E.chain((file: Parameters<typeof readTransforms>[0]) => readTransforms(file, "", shape, weights))(
    readSafetensors("as calibrated", bytes.right),
  );
  return E.map((transforms: Transforms): Made => ({ bytes: bytes.right, transforms, tokens }))(read);
}

/** What the programme expects at some ratios: squared error as a share of the energy in the components, keys and values. */
const summaryOf = ({ groups }: Transforms) =>
  [6, 8, 10, 12, 16, 32].map((ratio) => {
    const share = (stream: (typeof streams)[number]): number => {
      const plans = groups.map((group) => ({
        plan: planAt(group[stream], ratio),
        energy: group[stream].energy.reduce((a, b) => a + b, 0),
      }));
      return plans.reduce((sum, { plan }) => sum + plan.error, 0) / plans.reduce((sum, { energy }) => sum + energy, 0);
    };
    return { ratio, keys: share("keys"), values: share("values") };
  });

function said(out: string, { bytes, transforms, tokens }: Made, ratios: ReturnType<typeof summaryOf>): string {
  const percent = (x: number): string => `${(100 * x).toFixed(2)} %`;
  const rows = ratios.map(({ ratio, keys, values }) => [`${ratio}x`, percent(keys), percent(values)]);
  const columns = [{ title: "ratio", align: "left" }, { title: "error of keys", align: "right" }, {
    title: "of values",
    align: "right",
  }] as const;
  return `${out}: ${transforms.groups.length} groups of layers from ${grouped(tokens)} tokens, ${megabytes(bytes.length)} MB\n\n${
    table(columns, rows)
  }\nSquared error as a share of the energy, on texts that were read; the ratio counts before DEFLATE.\n`;
}
