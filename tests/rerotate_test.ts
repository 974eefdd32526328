/**
 * Key re-rotation: rows that are left are those of a text that never had the others, as far as one layer can tell.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openReference } from "../backends/reference/mod.ts";
import { showError } from "../cache/mod.ts";
import { disposeSession, type Model, openModel, planFor, prefill, readModelFile, type Session, step } from "../model/mod.ts";
import { parsePolicy } from "../papers/mod.ts";
import { compress, dispose, type HeadRows, orThrow, read, rerotate } from "../run/mod.ts";
import { onEveryModel, randomBytes } from "./model_support.ts";
import { cacheOf, onEveryBackend, sampleOf } from "./support.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

const file = await orThrow(readModelFile("tiny", tinyFile(tiny("llama"))));
const prompt = randomBytes(3, 30);

const firstLayer = async ({ model, cache }: Session): Promise<ReadonlyArray<HeadRows>> =>
  (await orThrow(read(model.memory)(cache))).layers[0] ?? [];

const after = async (model: Model, text: string, tokens: ReadonlyArray<number>, codec: "f32" | "f16" = "f32"): Promise<Session> =>
  await orThrow(prefill(model, await orThrow(parsePolicy(text)), { codec })(tokens));

onEveryModel("rows of the first layer, whose keys know only their own token, are those of the text without what left", async (model) => {
  for (const codec of ["f32", "f16"] as const) {
    const pruned = await after(model, "streamingllm(12, sinks=3, decode=no)|rerotate", prompt, codec);
    const short = await after(model, "keepall", [...prompt.slice(0, 3), ...prompt.slice(-9)], codec);
    assertEquals(pruned.cache.nextPosition, 12);
    const [have, want] = [await firstLayer(pruned), await firstLayer(short)];
    for (const [h, { positions, keys, values }] of have.entries()) {
      assertEquals([...positions], [...want[h]?.positions ?? []]);
      assertEquals(values, want[h]?.values);
      const size = Math.max(...keys.map(Math.abs));
      // f32: angles of f64 in f32 tables, one more rotation. f16: keys are rounded before it and after it.
      const allowed = size * (codec === "f32" ? 1e-6 : 2e-3);
      keys.forEach((x, i) => assert(Math.abs(x - (want[h]?.keys[i] ?? NaN)) <= allowed, `head ${h}, ${i}: ${x} and ${want[h]?.keys[i]}`));
    }
    const [next, other] = [await orThrow(step(65)(pruned)), await orThrow(step(65)(short))];
    assertEquals([next.cache.nextPosition, (await firstLayer(next))[0]?.positions.at(-1)], [13, 12]);
    await orThrow(disposeSession(next));
    await orThrow(disposeSession(other));
  }
}, () => file);

onEveryModel("keeping everything, or a prefix, turns nothing", async (model) => {
  const full = await after(model, "keepall", prompt);
  const [before, turned] = [await firstLayer(full), await orThrow(rerotate(model.memory)(full.cache))];
  const { layers: [same = []] } = await orThrow(read(model.memory)(turned));
  assertEquals(same.map(({ positions, keys }) => [positions, keys]), before.map(({ positions, keys }) => [positions, keys]));
  assertEquals(turned.nextPosition, prompt.length);
  await orThrow(disposeSession(full));
  await orThrow(disposeSession({ ...full, cache: turned }));
}, () => file);

onEveryBackend("heads of unequal lengths are refused, and nothing is lost or left behind", async (memory) => {
  const cache = await cacheOf(memory, sampleOf(2, 2, 2, 4, 20, 3));
  const pruned = await compress(memory, await orThrow(parsePolicy("knorm(8)|ada(20%)|rerotate")))(cache)();
  assert(E.isLeft(pruned));
  assertStringIncludes(showError(pruned.left), "only where every head of every layer keeps as many");
  assertEquals((await orThrow(read(memory)(cache))).layers[0]?.[0]?.positions.length, 20);
  await orThrow(dispose(memory)(cache));
  assertEquals(memory.backend.liveBytes().buffers, 0);
});

Deno.test("turning keys is refused beside codes and beside what acts while decoding", async () => {
  await using backend = await orThrow(openReference());
  await using model = await orThrow(openModel(backend, file));
  const refused = async (text: string): Promise<string> => {
    const plan = planFor(model, await orThrow(parsePolicy(text)), 30);
    assert(E.isLeft(plan), text);
    return showError(plan.left);
  };
  assertStringIncludes(await refused("tova(8)|rerotate"), "positions close up once, at the end of the prompt");
  assertStringIncludes(await refused("(encode(q8)+knorm(8))|rerotate"), "codes cannot be turned");
});
