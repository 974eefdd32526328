/**
 * Greedy generation: the backend finds the likeliest token, and nothing but its id is read back.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Backend } from "../backends/backend.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";
import { chosen } from "../model/answer.ts";
import {
  argmax,
  disposeSession,
  forced,
  generate,
  greedy,
  inductionModel,
  type Model,
  openModel,
  prefill,
  saveSession,
  step,
} from "../model/mod.ts";
import { keepAll } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { onEveryBackend } from "./support.ts";
import { withoutAdapter } from "./support/webgpu.ts";

const prompt = [256, ...new TextEncoder().encode("one fish, two fish, one")];
const count = 6;

/** Greedy tokens by all logits, one after the other. */
async function byLogits(model: Model): Promise<ReadonlyArray<number>> {
  let session = await orThrow(prefill(model, keepAll)(prompt));
  const ids: number[] = [];
  for (;;) {
    const id = await orThrow(argmax(session.logits));
    ids.push(id);
    if (ids.length === count) break;
    session = await orThrow(step(id)(session));
  }
  await orThrow(disposeSession(session));
  return ids;
}

/** Tokens of a generation at this temperature, and bytes read back for them. */
async function generated(backend: Backend, temperature: number): Promise<{ readonly ids: ReadonlyArray<number>; readonly bytes: number }> {
  let bytes = 0;
  const counting: Backend = {
    ...backend,
    read: (buffer, offset, length) => {
      bytes += length;
      return backend.read(buffer, offset, length);
    },
  };
  await using model = await orThrow(openModel(counting, inductionModel()));
  const before = bytes;
  const ids: number[] = [];
  const steps = generate(model, keepAll, { tokens: prompt, maxNewTokens: count, stop: [], sampling: { temperature } });
  for await (const one of steps) if (one._tag === "Token") ids.push(one.id);
  return { ids, bytes: bytes - before };
}

async function readsTokensOnly(backend: Backend): Promise<void> {
  await using model = await orThrow(openModel(backend, inductionModel()));
  assertEquals(await generated(backend, 0), { ids: await byLogits(model), bytes: 4 * count });
  // Other ways of drawing need the logits.
  assertEquals((await generated(backend, 0.5)).bytes, 4 * count * model.spec.shape.vocab);
}

onEveryBackend(
  "a greedy token takes four bytes from the backend, and is the one that the logits say",
  ({ backend }) => readsTokensOnly(backend),
);

Deno.test({
  name: "a greedy token takes four bytes from webgpu, and is the one that the logits say",
  ignore: withoutAdapter,
  fn: async () => {
    await using backend = await orThrow(openWebGpu());
    await readsTokensOnly(backend);
  },
});

Deno.test("no greedy token is chosen where the backend found none", () => {
  const found = chosen(greedy, 0)({ logits: new Float32Array(), likeliest: 0xFFFFFFFF });
  assert(E.isLeft(found) && found.left._tag === "Unavailable" && found.left.what === "a next token");
});

onEveryBackend("what needs logits refuses a session of which only a token was read", async ({ backend }) => {
  await using model = await orThrow(openModel(backend, inductionModel()));
  const session = await orThrow(prefill(model, keepAll, { answer: "token" })(prompt));
  assertEquals([session.logits.length, session.likeliest], [0, (await byLogits(model))[0] ?? null]);
  for (const refused of [await saveSession(session)(), await forced([1, 2])(session)()]) {
    assert(E.isLeft(refused) && refused.left._tag === "InvalidArgument" && refused.left.argument === "session");
  }
  await orThrow(disposeSession(session));
});
