/**
 * Greedy generation with the embedded model, and what it reads back from a backend.
 * @module
 */
import { assertEquals } from "@std/assert";
import type { Backend } from "../../backends/backend.ts";
import { argmax, disposeSession, generate, inductionModel, type Model, openModel, prefill, step } from "../../model/mod.ts";
import { keepAll } from "../../papers/mod.ts";
import { orThrow } from "../../run/mod.ts";

/** A short text for the embedded model. */
export const prompt = [256, ...new TextEncoder().encode("one fish, two fish, one")];

const count = 6;

/** Greedy tokens by all logits, one after the other. */
export async function byLogits(model: Model): Promise<ReadonlyArray<number>> {
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

/** The greedy tokens are those that the logits say, and only those are read back. */
export async function readsTokensOnly(backend: Backend): Promise<void> {
  await using model = await orThrow(openModel(backend, inductionModel()));
  assertEquals(await generated(backend, 0), { ids: await byLogits(model), bytes: 4 * count });
  // Other ways of drawing need the logits.
  assertEquals((await generated(backend, 0.5)).bytes, 4 * count * model.spec.shape.vocab);
}
