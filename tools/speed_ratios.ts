/**
 * Speed of policies next to the full cache: `deno run -A tools/speed_ratios.ts DOCUMENTS POLICY...` reads documents of T1 under the full cache
 * and then under a policy, one policy after another, lets both decode in turn, and writes `docs/results/data/speeds.json`, which `deno task
 * systems` shows; what is there of other policies stays if it was measured alike. One thread.
 * @module
 */
import { openWasm } from "../backends/wasm/mod.ts";
import { corpusTexts } from "../cli/corpora.ts";
import { processIo } from "../cli/io.ts";
import { resolveModel, SMOLLM2 } from "../cli/catalogue.ts";
import { DEFAULT_CHUNK } from "../cli/shared.ts";
import { documentsOf } from "../eval/documents.ts";
import { frameOf } from "../eval/frame.ts";
import { itemsOf } from "../eval/items.ts";
import { speeds, TURNS } from "../eval/speeds.ts";
import type { SpeedRatio, Speeds } from "../eval/systems.ts";
import { openModel, readModelFile, shippedSurrogates, shippedTransforms } from "../model/mod.ts";
import { parsePolicy } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { fromEither } from "fp-ts/TaskEither.js";

const TOKENS = 1024;
const STORED = new URL("../docs/results/data/speeds.json", import.meta.url);

if (import.meta.main) {
  const [documentCount = "", ...texts] = Deno.args;
  if (!/^[1-9]\d*$/.test(documentCount) || texts.length === 0) {
    throw new Error(`the arguments are ${Deno.args.join(" ")}, allowed are a number of documents and policies`);
  }
  const policies = await Promise.all(texts.map((text) => orThrow(fromEither(parsePolicy(text)))));
  const io = processIo();
  const source = await orThrow(resolveModel(SMOLLM2.name, io));
  if (source._tag !== "File") throw new Error("the model is not a file");
  const file = await orThrow(readModelFile(SMOLLM2.name, await Deno.readFile(source.path)));
  await using backend = await orThrow(openWasm({ threads: 1 }));
  const extras = { surrogates: await orThrow(shippedSurrogates(file)), ...await orThrow(shippedTransforms(file)) };
  await using model = await orThrow(openModel(backend, file, extras));
  const frame = frameOf(await orThrow(fromEither(model.tokenizer())));
  const documents = documentsOf(await orThrow(corpusTexts(io)));
  const items = await orThrow(
    fromEither(itemsOf("T1", documents, { frame, seed: 1, tokens: TOKENS, scored: TURNS.steps }, Number(documentCount))),
  );
  const ratios: SpeedRatio[] = [];
  const options = { chunk: DEFAULT_CHUNK, codec: "f16", ...TURNS, progress: () => {} } as const;
  for (const { document, turns: [turn] } of items) {
    // Each policy alone with the full cache: they read and decode as near to each other in time as can be.
    for (const policy of policies) {
      const [full, own] = await orThrow(speeds(model, [policy], options)(turn?.tokens ?? []));
      const prefill = (own?.prefillTokensPerSecond ?? NaN) / (full?.prefillTokensPerSecond ?? NaN);
      const decode = own?.decodeRatio[0] ?? NaN;
      ratios.push({ policy: policy.text, document, prefill, decode });
      console.error(policy.text, prefill.toFixed(2), decode.toFixed(2), `${own?.rowsKept} rows kept, ${own?.rowsRead} read`);
    }
  }
  const before: Speeds = JSON.parse(await Deno.readTextFile(STORED));
  const again = new Set(policies.map(({ text }) => text));
  const { turns, steps: decoded } = TURNS;
  const isAlike = before.tokens === TOKENS && before.decoded === decoded && before.turns === turns;
  const others = isAlike ? before.ratios.filter(({ policy }) => !again.has(policy)) : [];
  const stored: Speeds = { tokens: TOKENS, decoded, turns, ratios: [...others, ...ratios] };
  const short = (_: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
  await Deno.writeTextFile(STORED, `${JSON.stringify(stored, short)}\n`);
}
