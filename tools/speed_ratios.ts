/**
 * Speed of policies next to the full cache: `deno run -A tools/speed_ratios.ts DOCUMENTS POLICY...` reads documents of T1 under the full cache
 * and then under a policy, one policy after another, and writes `docs/results/data/speeds.json`, which `deno task systems` shows; what is there
 * of other policies stays. One thread, and time of the processor: what else a busy machine does is then in neither number.
 * @module
 */
import { openWasm } from "../backends/wasm/mod.ts";
import { corpusTexts } from "../cli/corpora.ts";
import { processIo } from "../cli/io.ts";
import { resolveModel, SMOLLM2 } from "../cli/catalogue.ts";
import { documentsOf } from "../eval/documents.ts";
import { frameOf } from "../eval/frame.ts";
import { itemsOf } from "../eval/items.ts";
import type { Item } from "../eval/item.ts";
import type { SpeedRatio, Speeds } from "../eval/systems.ts";
import { disposeSession, type Model, openModel, prefill, readModelFile, shippedSurrogates, shippedTransforms, step } from "../model/mod.ts";
import { keepAll, parsePolicy } from "../papers/mod.ts";
import type { Policy } from "../policy/mod.ts";
import { orThrow } from "../run/mod.ts";
import { fromEither } from "fp-ts/TaskEither.js";
import { cpuUsage } from "node:process";

const [TOKENS, DECODED] = [1024, 16];
const STORED = new URL("../docs/results/data/speeds.json", import.meta.url);

/** Milliseconds of the processor that this process has had. */
const spent = (): number => {
  const { user, system } = cpuUsage();
  return (user + system) / 1000;
};

/** Time of the prefill and of decoding. */
async function timed(model: Model, policy: Policy, { turns: [turn] }: Item): Promise<readonly [number, number]> {
  const start = spent();
  let session = await orThrow(prefill(model, policy)(turn?.tokens ?? []));
  const read = spent();
  for (const id of turn?.probes[0]?.answer ?? []) session = await orThrow(step(id)(session));
  const end = spent();
  await orThrow(disposeSession(session));
  return [read - start, end - read];
}

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
    fromEither(itemsOf("T1", documents, { frame, seed: 1, tokens: TOKENS, scored: DECODED }, Number(documentCount))),
  );
  const ratios: SpeedRatio[] = [];
  for (const [i, item] of items.entries()) {
    // The first run of all also warms the modules up.
    if (i === 0) await timed(model, keepAll, item);
    for (const policy of policies) {
      const full = await timed(model, keepAll, item);
      const own = await timed(model, policy, item);
      ratios.push({ policy: policy.text, document: item.document, prefill: full[0] / own[0], decode: full[1] / own[1] });
      console.error(policy.text, ratios.at(-1)?.prefill.toFixed(2), ratios.at(-1)?.decode.toFixed(2));
    }
  }
  const before: Speeds = JSON.parse(await Deno.readTextFile(STORED));
  const again = new Set(policies.map(({ text }) => text));
  const others = before.tokens === TOKENS && before.decoded === DECODED ? before.ratios.filter(({ policy }) => !again.has(policy)) : [];
  const stored: Speeds = { tokens: TOKENS, decoded: DECODED, ratios: [...others, ...ratios] };
  const short = (_: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
  await Deno.writeTextFile(STORED, `${JSON.stringify(stored, short)}\n`);
}
