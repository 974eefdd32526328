/**
 * What KVzap costs while a prompt is read: its ops for one chunk of 256 tokens on all 30 layers of SmolLM2-135M, over what a prompt of
 * 8,192 tokens has left at a third, next to the time of the chunk itself. One thread each; networks are random.
 * @module
 */
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { NONE } from "../backends/program.ts";
import { uniformShape } from "../cache/uniform.ts";
import { type Case, type Data, input, updated, withNmse } from "../conformance/case.ts";
import { columnOf, layoutOf, layoutWords, rowRanges, rowsOf, wordsOf } from "../conformance/layouts.ts";
import { randomOf } from "../conformance/random.ts";
import { weightOf } from "../conformance/weights.ts";
import { disposeSession, openModel, prefill } from "../model/mod.ts";
import { keepAll, kvzap } from "../papers/mod.ts";
import { bound, emptyDraft, finish } from "../plan/draft.ts";
import { planPolicy } from "../plan/mod.ts";
import type { Draft, LayerSlots, LearnedForm } from "../plan/types.ts";
import { orThrow } from "../run/mod.ts";
import { runByRun, timeCase } from "./run_case.ts";

/** Milliseconds for a chunk, and KVzap's share of them. */
export interface KvzapCost {
  readonly scorer: "linear" | "mlp";
  readonly chunkMilliseconds: number;
  readonly policyMilliseconds: number;
  readonly share: number;
}

const [layers, hidden, kvHeads, dim, chunk, inner, seen] = [30, 576, 3, 64, 256, 72, 8192];
const forms: Readonly<Record<KvzapCost["scorer"], LearnedForm>> = { linear: { _tag: "Linear" }, mlp: { _tag: "Mlp", inner } };

/** Names that one layer's policy ops are bound to, in the order of a splice. */
const names = ["hidden", "newest", "keys", "values", "position", "layout", "column"] as const;

/** One layer's policy ops after a chunk, with memory: 2,730 rows that stay and the chunk, of which about a third stays. */
async function caseFor(scorer: KvzapCost["scorer"]): Promise<Case> {
  const random = randomOf(`kvzap ${scorer}`, 2026);
  const length = Math.floor(seen / 3) + chunk;
  const layout = layoutOf(random, [length, length, length]);
  const policy = kvzap({ threshold: 0.5, scorer });
  const plan = await orThrow(planPolicy(policy, {
    shape: uniformShape({ layers: 1, queryHeads: 9, kvHeads, headDim: dim }),
    backend: { name: "any", caps: { maxBufferBytes: 2 ** 31, threads: 1, deterministic: true, alignment: 16 }, supports: () => true },
    promptTokens: seen,
    chunk,
    codec: { _tag: "Plain", dtype: "f16" },
    learned: { [`kvzap-${scorer}`]: [forms[scorer]] },
  }));
  const [slots, draft] = names.reduce<readonly [ReadonlyArray<number>, Draft]>(([found, d], name) => {
    const [slot, next] = bound(name)(d);
    return [[...found, slot], next];
  }, [[], emptyDraft]);
  const [h = NONE, newest = NONE, keys = NONE, values = NONE, position = NONE, words = NONE, column = NONE] = slots;
  const at: LayerSlots = {
    ...{
      queries: NONE,
      lse: NONE,
      queryPosition: NONE,
      hidden: h,
      rawKeys: NONE,
      newKeys: NONE,
      tokenClass: NONE,
      newest,
      keys,
      values,
      position,
      layout: words,
    },
    ...{ columns: { kvzap: column }, bounds: NONE, capacity: layout.slots, store: null, recent: null },
  };
  const program = finish(`kvzap ${scorer}`)(plan.splice({ _tag: "AfterChunk", m: chunk }, 0, at)(draft));
  const wanted = program.values.flatMap((v) => v._tag === "Weight" ? [v.name] : []);
  const [rows, widths] = [rowRanges(layout, 2 * dim), rowRanges(layout, 4)];
  // Rows before the last window and chunk have been decided: they stay.
  const undecided = chunk + 128;
  const first = (slot: number): number => slot - (layout.segments.findLast(({ start }) => start <= slot)?.start ?? 0);
  const buffers: Readonly<Record<(typeof names)[number], Data>> = {
    hidden: input(random.normals(chunk * hidden)),
    newest: input(Uint32Array.of(seen - 1)),
    keys: updated("compact", rowsOf(random, layout, dim, "f16"), rows),
    values: updated("compact", rowsOf(random, layout, dim, "f16"), rows),
    position: updated("compact", wordsOf(layout, (slot) => seen - length + first(slot)), widths),
    layout: updated("compact", layoutWords(layout)),
    // f32 sums of 576 products in another order.
    column: withNmse(1e-8)(
      updated("compact", columnOf(layout, (slot) => first(slot) < length - undecided ? 1 : 1.5 * random.uniform() - 0.5), widths),
    ),
  };
  const weights = wanted.map((name) => {
    const [outs, ins] = name.includes(".0.0.") ? [inner, hidden] : [kvHeads, scorer === "mlp" ? inner : hidden];
    return name.endsWith("bias")
      ? { ...weightOf(random, "F32", 1, outs, { uses: ["vector"] }), name }
      : { ...weightOf(random, "F32", outs, ins), name };
  });
  return { op: "leaving", label: `kvzap ${scorer}`, program, buffers, weights };
}

/** Both networks on the model in the file `path`. */
export async function kvzapCosts(path: string, ids: ReadonlyArray<number>, seconds: number): Promise<ReadonlyArray<KvzapCost>> {
  await using backend = await orThrow(openWasm({ threads: 1 }));
  await using oracle = await orThrow(openReference());
  const costs: KvzapCost[] = [];
  const chunkMilliseconds = await timeChunk(backend, path, ids);
  for (const scorer of ["linear", "mlp"] as const) {
    const one = await caseFor(scorer);
    const timing = await timeCase(backend, oracle, { name: one.label, one, bytes: 0, operations: 0, limit: "read" }, runByRun(seconds));
    const policyMilliseconds = timing.fastest * 1000 * layers;
    costs.push({ scorer, chunkMilliseconds, policyMilliseconds, share: policyMilliseconds / chunkMilliseconds });
  }
  return costs;
}

/** The fastest of the first chunks of a prompt: the least attention, so the largest share for the policy. */
async function timeChunk(backend: Parameters<typeof openModel>[0], path: string, ids: ReadonlyArray<number>): Promise<number> {
  await using model = await orThrow(openModel(backend, path));
  const times: number[] = [];
  let last = performance.now();
  const progress = (): void => {
    times.push(performance.now() - last);
    last = performance.now();
  };
  const session = await orThrow(prefill(model, keepAll, { chunk, progress })(ids.slice(0, 8 * chunk)));
  await orThrow(disposeSession(session));
  return Math.min(...times);
}
