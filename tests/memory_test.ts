/** Peaks are watched by a backend that notes its live bytes at every allocation and every run. */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openWasm } from "../backends/wasm/mod.ts";
import { bytesOf, rowsPerHead } from "../cache/mod.ts";
import { watchedBackend } from "../eval/watch.ts";
import { disposeSession, extend, inductionModel, type ModelFile, type ModelTensor, openModel, prefill } from "../model/mod.ts";
import { readSafetensors, type TensorToWrite, writeSafetensors } from "../model/mod.ts";
import { h2o, keepAll, knorm, kvzap, streamingLlm } from "../papers/mod.ts";
import { pipe, streaming } from "../policy/mod.ts";
import { orThrow, read } from "../run/mod.ts";
import { randomBytes } from "./model_support.ts";
import { numbers } from "./support.ts";

/** The induction model with four more layers whose attention writes nothing: enough layers that one of them is a small part. */
function sixLayers(): ModelFile {
  const file = inductionModel();
  const { shape } = file.spec;
  const idle = [...file.tensors.values()].filter((t) => t.name.startsWith("blk.1."));
  const silent = (t: ModelTensor, l: number): ModelTensor => ({
    ...t,
    name: t.name.replace("blk.1.", `blk.${l}.`),
    bytes: t.name.endsWith("attn_output.weight") ? new Uint8Array(t.bytes.length) : t.bytes,
  });
  const more = [2, 3, 4, 5].flatMap((l) => idle.map((t) => silent(t, l)));
  const layers = Array.from({ length: 6 }, (_, l) => shape.layers[Math.min(l, 1)] ?? shape.layers[0]).flatMap((l) => l ?? []);
  return {
    ...file,
    spec: { ...file.spec, shape: { ...shape, layers }, ffn: layers.map(() => file.spec.ffn[0] ?? 0) },
    tensors: new Map([...file.tensors, ...more.map((t) => [t.name, t] as const)]),
  };
}

const CHUNK = 128;

/** Bytes one run holds beside the cache: ids, positions, the rotation's table, one row of logits, each rounded up to 64 bytes. */
const perRun = (dims: number, vocab: number): number => 2 * CHUNK * 4 + CHUNK * dims * 4 + vocab * 4 + 5 * 64;

for (
  const [tokens, how] of [
    [8192, pipe(streamingLlm({ rows: 1024 }), streaming)],
    [2500, pipe(knorm({ rows: 1024 }), streaming)],
    [2500, pipe(h2o({ rows: 1024 }), streaming)],
  ] as const
) {
  Deno.test(`peak memory of a prefill of ${tokens} tokens under ${how.text} is that of the pruned cache, not of the prompt`, async () => {
    await using opened = await orThrow(openWasm());
    const { backend, peak, reset } = watchedBackend(opened);
    await using model = await orThrow(openModel(backend, sixLayers()));
    reset();
    const session = await orThrow(prefill(model, how, { chunk: CHUNK, room: 0 })(randomBytes(4, tokens)));
    assert(rowsPerHead(session.cache).flat().every((n) => n === 1024));
    const pruned = bytesOf(session.cache);
    assertEquals(pruned.total, backend.liveBytes().buffers);
    const scratch = perRun(model.spec.shape.layers[0]?.rope.dims ?? 0, model.spec.shape.vocab);
    // Of the pruned cache only what is kept counts, not the slack it holds: 1.5 times slack would hide a peak.
    const kept = pruned.total - pruned.slack;
    const limit = 1.5 * kept + scratch;
    assert(peak() < limit, `peak ${peak()} of at most ${limit}, ${kept} kept`);
    await orThrow(disposeSession(session));
    reset();
    const whole = await orThrow(prefill(model, keepAll, { chunk: CHUNK, room: 0 })(randomBytes(4, 1700)));
    assert(peak() > limit, "the whole cache of 1,700 tokens is larger already, so the limit is sharp");
    await orThrow(disposeSession(whole));
    assertEquals(backend.liveBytes().buffers, 0);
  });
}

Deno.test("peak memory of streaming prefill under KVzap is that of what stays and one chunk, under half of the whole cache's at a third of the rows", async () => {
  const [tokens, window] = [2560, 64];
  const file = sixLayers();
  const { hidden, layers } = file.spec.shape;
  const weights = layers.flatMap(({ kvHeads }, l): ReadonlyArray<TensorToWrite> => [
    { name: `layers.${l}.weight`, type: "F32", shape: [kvHeads, hidden], numbers: numbers(l + 1, kvHeads * hidden) },
    { name: `layers.${l}.bias`, type: "F32", shape: [kvHeads], numbers: new Float32Array(kvHeads) },
  ]);
  const surrogate = await orThrow(readSafetensors("random", await orThrow(writeSafetensors(weights))));
  await using opened = await orThrow(openWasm());
  const { backend, peak, reset } = watchedBackend(opened);
  await using model = await orThrow(openModel(backend, file, { surrogates: { "kvzap-linear": surrogate } }));
  const under = async (threshold: number) => {
    reset();
    const how = kvzap({ threshold, window, scorer: "linear" });
    return await orThrow(prefill(model, how, { chunk: CHUNK, room: 0 })(randomBytes(4, tokens)));
  };
  const whole = await under(-Infinity);
  const dense = peak();
  const scores = (await orThrow(read(model.memory)(whole.cache))).layers.flat().flatMap((head) => [...head.columns["kvzap"] ?? []]);
  await orThrow(disposeSession(whole));
  const session = await under(scores.toSorted((a, b) => a - b)[Math.floor(scores.length * 0.7)] ?? NaN);
  const kept = bytesOf(session.cache).total - bytesOf(session.cache).slack;
  const rows = rowsPerHead(session.cache).flat().reduce((a, b) => a + b, 0);
  // Streaming changes the hidden states that later scores come from, so the share is near 0.3, not exactly that.
  assert(rows > 0.15 * scores.length && rows < 0.4 * scores.length, `${rows} of ${scores.length} rows`);
  const chunk = kept / rows * CHUNK * layers.reduce((sum, { kvHeads }) => sum + kvHeads, 0);
  const limit = 1.5 * (kept + chunk) + perRun(layers[0]?.rope.dims ?? 0, file.spec.shape.vocab);
  assert(peak() < limit, `peak ${peak()} of at most ${limit}, ${kept} kept`);
  assert(peak() < dense / 2, `peak ${peak()}, whole ${dense}`);
  await orThrow(disposeSession(session));
  assertEquals(backend.liveBytes().buffers, 0);
});

Deno.test("running out of memory in the middle of a text is an error that leaves nothing behind", async () => {
  await using backend = await orThrow(openWasm({ build: "simd128", maxMemoryBytes: 12 * 2 ** 20 }));
  await using model = await orThrow(openModel(backend, inductionModel()));
  const start = await orThrow(prefill(model, keepAll, { chunk: 64 })(randomBytes(4, 64)));
  const full = await extend(randomBytes(5, 8000))(start)();
  assert(E.isLeft(full) && full.left._tag === "OutOfMemory");
  assertEquals(backend.liveBytes().buffers, 0);
  const pruned = await orThrow(prefill(model, pipe(streamingLlm({ rows: 64 }), streaming), { chunk: 64 })(randomBytes(4, 1000)));
  await orThrow(disposeSession(pruned));
  assertEquals(backend.liveBytes().buffers, 0);
});
