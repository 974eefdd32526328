/**
 * What choosing rows by the last queries gains when the question is part of the prompt: `deno run -A tools/query_aware.ts [DOCUMENTS]` reads
 * items of T2 twice per policy, compressed before the question (as `kvfold eval` does) and after it, and prints the recovery of both.
 * @module
 */
import { fromEither } from "fp-ts/TaskEither.js";
import { openWasm } from "../backends/wasm/mod.ts";
import { resolveModel, SMOLLM2 } from "../cli/catalogue.ts";
import { corpusTexts } from "../cli/corpora.ts";
import { processIo } from "../cli/io.ts";
import { intervalOf, resamples } from "../eval/bootstrap.ts";
import { documentsOf } from "../eval/documents.ts";
import { frameOf } from "../eval/frame.ts";
import type { Item } from "../eval/item.ts";
import { itemsOf } from "../eval/items.ts";
import { nll } from "../eval/metrics.ts";
import { shown } from "../eval/sections.ts";
import { extend, forced, type Model, openModel, prefill, readModelFile, type Session } from "../model/mod.ts";
import { keepAll, parsePolicy } from "../papers/mod.ts";
import type { Policy } from "../policy/mod.ts";
import { orThrow } from "../run/mod.ts";

const POLICIES: ReadonlyArray<string> = ["snapkv(25%)", "snapkv(25%)|ada(20%)", "snapkv(25%)|pyramid(20)", "expected(25%)"];

/** NLL of the answer, nats per token. */
async function ask(session: Session, answer: ReadonlyArray<number>): Promise<number> {
  return await orThrow(fromEither(nll(await orThrow(forced(answer)(session)), answer)));
}

/** NLL with the policy acting before the question, and after it. */
async function both(model: Model, policy: Policy, { turns: [turn] }: Item): Promise<readonly [number, number]> {
  const { tokens = [], probes: [probe] = [] } = turn ?? {};
  const [query, answer] = [probe?.query ?? [], probe?.answer ?? []];
  const before = await orThrow(extend(query)(await orThrow(prefill(model, policy)(tokens))));
  const after = await orThrow(prefill(model, policy)([...tokens, ...query]));
  return [await ask(before, answer), await ask(after, answer)];
}

if (import.meta.main) {
  const [count = 3] = Deno.args.map(Number);
  const io = processIo();
  const source = await orThrow(resolveModel(SMOLLM2.name, io));
  if (source._tag !== "File") throw new Error("the model is not a file");
  const file = await orThrow(readModelFile(SMOLLM2.name, await Deno.readFile(source.path)));
  await using backend = await orThrow(openWasm({ threads: 1 }));
  await using model = await orThrow(openModel(backend, file));
  const frame = frameOf(await orThrow(fromEither(model.tokenizer())));
  const documents = documentsOf(await orThrow(corpusTexts(io)));
  const items = await orThrow(fromEither(itemsOf("T2", documents, { frame, seed: 1, tokens: 1024, scored: 128 }, count)));
  const gains: { readonly none: number; readonly full: number; readonly found: ReadonlyArray<readonly [number, number]> }[] = [];
  for (const item of items) {
    const probe = item.turns[0]?.probes[0];
    const none = await ask(await orThrow(prefill(model, keepAll)([...item.bare, ...probe?.query ?? []])), probe?.answer ?? []);
    const [full] = await both(model, keepAll, item);
    const found: (readonly [number, number])[] = [];
    for (const text of POLICIES) found.push(await both(model, await orThrow(fromEither(parsePolicy(text))), item));
    gains.push({ none, full, found });
    console.error(item.id);
  }
  const chosen = resamples(items.length);
  for (const [p, text] of POLICIES.entries()) {
    const recovery = (way: 0 | 1): string => {
      const over = gains.map(({ none, found }) => none - (found[p]?.[way] ?? none));
      return shown(intervalOf([{ over, under: gains.map(({ none, full }) => none - full) }], ([x = NaN]) => x, chosen));
    };
    console.log(`${text}: question unknown ${recovery(0)}, question in the prompt ${recovery(1)}`);
  }
}
