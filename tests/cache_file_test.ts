import { assert, assertEquals, assertMatch } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { unpackFile } from "../cache/container.ts";
import { showError } from "../cache/error.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import {
  continueFrom,
  disposeSession,
  extend,
  forkSession,
  inductionModel,
  loadSession,
  type Model,
  openModel,
  prefill,
  saveSession,
  type Session,
  step,
} from "../model/mod.ts";
import { adaKv, h2o, keepAll, kivi, knorm, kvSharer, parsePolicy, quest, snapKv } from "../papers/mod.ts";
import { decoding, pipe, streaming } from "../policy/mod.ts";
import type { Policy } from "../policy/types.ts";
import { orThrow, read } from "../run/mod.ts";
import { begin, endless, ids, onEveryModel, randomBytes, textOf } from "./model_support.ts";
import { writeGguf } from "./support/gguf_writer.ts";
import { tiny, tinyInput } from "./support/tiny_model.ts";
import { realModel } from "./support/real_model.ts";

const named = async (text: string): Promise<Policy> => await orThrow(parsePolicy(text));
const half = [snapKv({ rows: 40, window: 8 }), pipe(h2o({ rows: 40 }), streaming), pipe(knorm({ rows: 40 }), decoding)];
const policies: ReadonlyArray<Policy> = [
  ...[keepAll, pipe(half[0] ?? keepAll, adaKv()), ...half, quest({ rows: 32, dense: 0 }), kvSharer({ from: [0, 0] })],
  ...await Promise.all(["encode(f32, values=f16)", "rkv(48)", "fastgen(0.9)"].map(named)),
];
/** For heads of 32 channels. */
const coded: ReadonlyArray<Policy> = [
  ...[kivi({ bits: "4", residual: 32 }), kivi({ bits: "2", residual: 0 })],
  ...await Promise.all(["encode(q8)", "snapkv(50%, window=8)|ada(20%)+kivi(2, residual=32)", "think(40%, queries=8, recent=8)"].map(named)),
];
const tinyFile = (): Uint8Array =>
  writeGguf(tinyInput(tiny("llama", { layers: 2, hidden: 64, queryHeads: 2, kvHeads: 1, headDim: 32, ffn: 32 })));

/** A session that has read and decoded: columns, rings and stores are in use. */
async function used(model: Model, policy: Policy): Promise<Session> {
  let session = await orThrow(prefill(model, policy, { chunk: 48 })([256, ...randomBytes(3, 110)]));
  for (const token of randomBytes(4, 9)) session = await orThrow(step(token)(session));
  return session;
}

const reloaded = async (model: Model, session: Session): Promise<Session> =>
  await orThrow(loadSession(model, { file: "a.kv" })(await orThrow(saveSession(session))));

const partsOf = async (session: Session): Promise<ReadonlyArray<Uint8Array>> =>
  (await orThrow(unpackFile("a.kv", await orThrow(saveSession(session))))).parts;

const roundTrips = (of: ReadonlyArray<Policy>) => async (model: Model): Promise<void> => {
  // Plain loops read a prompt slowly, and what is saved does not depend on who computed it.
  for (const policy of model.backend.name === "reference" ? of.filter((_, i) => i % 3 === 0) : of) {
    const session = await used(model, policy);
    const back = await reloaded(model, session);
    assertEquals(await orThrow(read(model.memory)(back.cache)), await orThrow(read(model.memory)(session.cache)), policy.text);
    const [a, b] = [await partsOf(session), await partsOf(back)];
    assertEquals(b.length, a.length);
    // Buffers compare by text: a message of a hundred thousand numbers takes longer than the test.
    assertEquals(b.map((part) => part.toBase64()), a.map((part) => part.toBase64()), policy.text);
    const texts = [];
    for (const one of [session, back]) texts.push(await textOf(continueFrom(one, { maxNewTokens: 12, ...endless })));
    assertEquals(texts[1], texts[0], policy.text);
    assertEquals(model.backend.liveBytes().buffers, 0);
  }
};

onEveryModel("a saved cache of any policy comes back bit for bit, and goes on as the one that was not saved", roundTrips(policies));
onEveryModel("a saved cache with stores of codes does too", roundTrips(coded), tinyFile);

onEveryModel("a fork is saved with the rows it shares", async (model) => {
  const document = await orThrow(prefill(model, snapKv({ rows: 64 }))(begin("cat: meow; dog: woof; bird: tweet; ")));
  const asked = await orThrow(extend(ids("dog:"))(await orThrow(forkSession(document))));
  const back = await reloaded(model, asked);
  assertEquals(await textOf(continueFrom(back, { maxNewTokens: 5 })), " woof");
  for (const session of [document, asked]) await orThrow(disposeSession(session));
  assertEquals(model.backend.liveBytes().buffers, 0);
});

Deno.test("a file of another model, policy, or row format is refused by the name of what differs", async () => {
  await using backend = await orThrow(openWasm({ threads: 1 }));
  await using model = await orThrow(openModel(backend, inductionModel()));
  const file = inductionModel();
  const [name, first] = [...file.tensors][0] ?? [];
  assert(name !== undefined && first !== undefined);
  const changed = { ...first, bytes: first.bytes.map((b, i) => i === 0 ? b ^ 1 : b) };
  await using other = await orThrow(openModel(backend, { ...file, tensors: new Map([...file.tensors, [name, changed]]) }));
  const layer = file.spec.shape.layers[0];
  assert(layer !== undefined);
  const turned = { ...layer, rope: { ...layer.rope, theta: layer.rope.theta * 2 } };
  const spec = { ...file.spec, shape: { ...file.spec.shape, layers: [turned, ...file.spec.shape.layers.slice(1)] } };
  await using rotated = await orThrow(openModel(backend, { ...file, spec }));
  const session = await orThrow(prefill(model, snapKv({ rows: 8, window: 4 }))(begin("one fish, two fish")));
  const bytes = await orThrow(saveSession(session));
  await orThrow(disposeSession(session));
  const held = backend.liveBytes().buffers;
  const refused = async (of: Model, policy?: Policy): Promise<string> => {
    const loaded = await loadSession(of, { file: "a.kv", ...(policy === undefined ? {} : { policy }) })(bytes)();
    return E.isLeft(loaded) ? showError(loaded.left) : "loaded";
  };
  assertMatch(await refused(other), /^file a\.kv: the model's weights \(SHA-256\): found [0-9a-f]{64}, allowed is [0-9a-f]{64}, as here$/);
  assertMatch(await refused(rotated), /^file a\.kv: the rotation of keys: found 2 x theta/);
  assertMatch(await refused(model, keepAll), /^file a\.kv: the policy: found snapkv\(8, window=4\), allowed is keepall, as here$/);
  assertEquals(backend.liveBytes().buffers, held);
});

const real = await realModel();

Deno.test({
  name: "SmolLM2 goes on from a file in a fresh backend with the same tokens, with the whole cache and with a ragged one",
  ignore: real === null,
  fn: async () => {
    const source = real ?? new Uint8Array();
    for (const policy of [keepAll, await named("snapkv(50%, window=4)|ada(20%)")]) {
      const run = async (use: (model: Model) => Promise<Session>): Promise<readonly [Uint8Array, string]> => {
        await using backend = await orThrow(openWasm({ threads: 1 }));
        await using model = await orThrow(openModel(backend, source));
        const session = await use(model);
        const bytes = await orThrow(saveSession(session));
        return [bytes, await textOf(continueFrom(session, { maxNewTokens: 16, ...endless }))];
      };
      const [bytes, text] = await run(async (model) => {
        const tokens = (await orThrow(model.tokenizer())).encode(
          "The first president of the United States was George Washington, and the second was",
        );
        return await orThrow(prefill(model, policy)(tokens));
      });
      assertEquals(await run((model) => orThrow(loadSession(model, { file: "a.kv" })(bytes))), [bytes, text]);
    }
  },
});
