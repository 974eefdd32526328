/**
 * Hostile cache files: whatever is done to a sound file, loading it gives a session or one sentence. Nothing throws, and nothing stays allocated
 * or is allocated beyond what the file itself holds.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openWasm } from "../backends/wasm/mod.ts";
import { packFile, unpackFile } from "../cache/container.ts";
import { showError } from "../cache/error.ts";
import { disposeSession, inductionModel, loadSession, openModel, prefill, saveSession, step } from "../model/mod.ts";
import { parsePolicy } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { begin } from "./model_support.ts";
import { draws } from "./support/random.ts";

const backend = await orThrow(openWasm({ threads: 1 }));
const model = await orThrow(openModel(backend, inductionModel()));
const sound: Uint8Array<ArrayBuffer>[] = [];
for (const text of ["h2o(12)|decoding", "encode(f32, values=f16)", "rkv(16)", "quest(16, dense=0)"]) {
  const read = await orThrow(prefill(model, await orThrow(parsePolicy(text)))(begin("one fish, two fish, red fish, blue fish, one ")));
  const session = await orThrow(step(102)(read));
  sound.push(await orThrow(saveSession(session)));
  await orThrow(disposeSession(session));
}
const largest = Math.max(...sound.map(({ length }) => length));
type Next = (below: number) => number;

/** Loads; gives the sentence, or null where it loads after all. */
async function tried(bytes: Uint8Array): Promise<string | null> {
  const loaded = await loadSession(model, { file: "a.kv" })(bytes)();
  const { buffers } = backend.liveBytes();
  if (E.isLeft(loaded)) {
    assertEquals(buffers, 0);
    const sentence = showError(loaded.left);
    assert(sentence.length < 1000 && !/\p{Cc}/u.test(sentence), sentence);
    return sentence;
  }
  assert(buffers <= 2 * largest, `${buffers} bytes for a file of ${bytes.length}`);
  assertEquals(E.isRight(disposeSession(loaded.right)()), true);
  return null;
}

Deno.test("files cut at any length, and files with any bit changed, are refused", async () => {
  const next = draws(1);
  for (const file of sound) {
    for (let i = 0; i < 1500; i++) assert(await tried(file.subarray(0, next(file.length))) !== null);
    for (let i = 0; i < 3000; i++) {
      const at = i < 400 ? i : next(file.length);
      const changed = file.slice();
      changed[at] = (changed[at] ?? 0) ^ (1 << next(8));
      assert(await tried(changed) !== null, `bit of byte ${at}`);
    }
  }
});

const numbers: ReadonlyArray<unknown> = [-1, 0, 1, 2, 3, 7, 1.5, 17, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, 1e300, null, "", "f32", true, [], {}];

/** The value with something else in one place. */
function disturbed(value: unknown, next: Next): unknown {
  if (Array.isArray(value) && value.length > 0 && next(8) > 0) {
    const at = next(value.length);
    const whole = next(12);
    return whole === 0 ? value.toSpliced(at, 1) : whole === 1 ? [...value, value[at]] : value.with(at, disturbed(value[at], next));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0 && next(12) > 0) {
    const keys = Object.keys(value);
    const key = keys[next(keys.length)] ?? "";
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, k === key ? disturbed(v, next) : v]));
  }
  if (typeof value === "number" && next(3) === 0) return value + next(5) - 2;
  return numbers[next(numbers.length)];
}

Deno.test("files whose claims were changed and signed again are refused, or load what they claim", async () => {
  const next = draws(2);
  let loads = 0;
  for (const file of sound) {
    const { content, parts } = await orThrow(unpackFile("a.kv", file));
    for (let i = 0; i < 1500; i++) {
      const bytes = await packFile(
        next(4) > 0 ? { content: disturbed(content, next), parts } : {
          content,
          parts: parts.map((part) => next(parts.length) === 0 ? part.map((b) => next(20) === 0 ? next(256) : b).subarray(next(3)) : part),
        },
      );
      if (await tried(bytes) === null) loads++;
    }
  }
  // Steps, chunks and numbers of rows may well be others; that some load shows that the checks are not simply the signature's.
  assert(loads > 20 && loads < 3000, String(loads));
});

Deno.test("tiers that together claim more rows of a head than there are tokens are refused before anything is allocated", async () => {
  const file = sound[1] ?? new Uint8Array();
  const { content, parts } = await orThrow(unpackFile("a.kv", file));
  // Logits and tokens, then positions, keys and values of the first layer's only tier.
  const [head, tier, rest] = [parts.slice(0, 2), parts.slice(2, 5), parts.slice(2)];
  const claims: { readonly cache: { readonly layers: { tiers: Record<string, unknown>[] }[] } } = JSON.parse(JSON.stringify(content));
  const [layer] = claims.cache.layers;
  assert(layer !== undefined && layer.tiers[0] !== undefined);
  layer.tiers = [...Array.from({ length: 40 }, () => ({ ...layer.tiers[0], frozen: true })), layer.tiers[0]];
  const bytes = await packFile({ content: claims, parts: [...head, ...Array.from({ length: 40 }, () => tier).flat(), ...rest] });
  assertMatch(await tried(bytes) ?? "", /layer 0.*more rows than tokens/);
});
