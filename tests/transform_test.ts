import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { fullBytes, showError, uniformShape } from "../cache/mod.ts";
import { packFile, unpackFile } from "../cache/container.ts";
import { symmetricEigen } from "../calibrate/eigen.ts";
import { randomOf } from "../conformance/random.ts";
import {
  continueFrom,
  disposeSession,
  inductionModel,
  loadSession,
  type Model,
  openModel,
  prefill,
  readSafetensors,
  readTransforms,
  saveSession,
} from "../model/mod.ts";
import { planAt } from "../model/transform.ts";
import { codeCache, coderOf, decodeCache } from "../model/transform_code.ts";
import { componentsOf } from "../model/transform_components.ts";
import { h2o, keepAll, knorm } from "../papers/mod.ts";
import { fromDense, openMemory, orThrow, read } from "../run/mod.ts";
import { takeOut } from "../run/save.ts";
import { onEveryTransformed, openTransformed, transforms } from "./transform_support.ts";
import { begin, endless, ids, randomBytes, textOf } from "./model_support.ts";

const everything = { ratio: 1.5, sinks: 0, recent: 0 };

Deno.test("with all components at 8 bits a cache comes back nearly as it was, and exactly where rows are exact", async () => {
  for (const opened of [openReference(), openWasm({ build: "simd128" }), openWasm({ threads: 1 })]) {
    await using backend = await orThrow(opened);
    const model = await openTransformed(backend);
    for (const policy of [keepAll, knorm({ rows: 40 }), h2o({ rows: 40 })]) {
      const session = await orThrow(prefill(model, policy)([...begin("red=7341, green=9920, "), ...randomBytes(5, 60)]));
      const coder = await orThrow(
        E.right(
          coderOf(model.memory, model.spec.shape, model.transforms ?? { digest: "", groups: [] }, { ratio: 1.5, sinks: 4, recent: 16 }),
        ),
      );
      const saved = await orThrow(takeOut(model.memory)(session.cache));
      const back = await orThrow(decodeCache(coder, "t")(saved.table, await orThrow(codeCache(coder)(saved))));
      assertEquals(back.table, saved.table);
      let [energy, lost] = [0, 0];
      const nextPosition = saved.table.nextPosition;
      for (let at = 0; at < saved.parts.length;) {
        const positions = new Uint32Array(Uint8Array.from(saved.parts[at] ?? []).buffer);
        assertEquals(back.parts[at], saved.parts[at]);
        for (const part of [at + 1, at + 2]) {
          const [a, b] = [saved.parts, back.parts].map((parts) => new Float16Array(Uint8Array.from(parts[part] ?? []).buffer));
          assert(a !== undefined && b !== undefined && a.length === b.length);
          const width = a.length / positions.length;
          for (let i = 0; i < a.length; i++) {
            const p = positions[Math.floor(i / width)] ?? 0;
            const off = ((a[i] ?? 0) - (b[i] ?? 0)) ** 2;
            if (p < 4 || p + 16 >= nextPosition) assertEquals(b[i], a[i]);
            energy += (a[i] ?? 0) ** 2;
            lost += off;
          }
        }
        at += 3 + (policy === keepAll || policy.text.startsWith("knorm") ? 0 : 1);
      }
      // 8-bit grids of one token's coefficients: a step is 1/255 of their range.
      assert(lost > 0 && lost < 2e-4 * energy, `${policy.text}: ${lost / energy}`);
      await orThrow(disposeSession(session));
    }
    await model.close();
    assertEquals(backend.liveBytes().buffers + backend.liveBytes().weights, 0);
  }
});

onEveryTransformed(
  "where a plan loses much, products are of bytes, and lose a fiftieth more at most than products of f32",
  async (model) => {
    const session = await orThrow(prefill(model, keepAll)([...begin("red=7341, green=9920, "), ...randomBytes(5, 200)]));
    const saved = await orThrow(takeOut(model.memory)(session.cache));
    const known = model.transforms ?? { digest: "", groups: [] };
    const typesAt = (ratio: number): ReadonlyArray<string> => [
      ...new Set(
        coderOf(model.memory, model.spec.shape, known, { ratio, sinks: 0, recent: 0 }).planned.map((p) =>
          componentsOf(p.transform, p.plan).type
        ),
      ),
    ];
    assertEquals([typesAt(1.5), typesAt(16).includes("Q8_0"), typesAt(1024)], [["F32"], true, ["Q8_0"]]);
    const coder = coderOf(model.memory, model.spec.shape, known, { ratio: 16, sinks: 0, recent: 0 });
    // What a plan says of its error alone decides.
    const lost = await Promise.all([0, Infinity].map(async (error) => {
      const planned = coder.planned.map((one) => ({ ...one, plan: { ...one.plan, error } }));
      const parts = await orThrow(codeCache({ ...coder, planned })(saved));
      const back = await orThrow(decodeCache({ ...coder, planned }, "t")(saved.table, parts));
      return saved.parts.reduce((sum, part, i) => i % 3 === 0 ? sum : sum + distance(part, back.parts[i] ?? new Uint8Array()), 0);
    }));
    const [exact = NaN, bytes = NaN] = lost;
    assert(exact > 0 && bytes !== exact && bytes < 1.02 * exact, `${bytes} of bytes, ${exact} of f32`);
    await orThrow(disposeSession(session));
  },
);

/** Squared, of rows in f16. */
function distance(a: Uint8Array, b: Uint8Array): number {
  const [x, y] = [a, b].map((bytes) => new Float16Array(Uint8Array.from(bytes).buffer));
  return (x ?? new Float16Array()).reduce((sum, v, i) => sum + (v - (y?.[i] ?? NaN)) ** 2, 0);
}

Deno.test("heads that are rotations of one another need the components of one head (the paper's reason to transform heads together)", async () => {
  await using backend = await orThrow(openWasm({ threads: 1 }));
  using memory = openMemory(backend);
  const [d, heads, tokens] = [8, 4, 96];
  const shape = uniformShape({ layers: 1, queryHeads: heads, kvHeads: heads, headDim: d });
  const random = randomOf("rotated heads", 1);
  const base = random.normals(tokens * d);
  // Channels of each head are those of the first in another order and with other signs: an orthogonal map.
  const values = Float32Array.from({ length: heads * tokens * d }, (_, i) => {
    const [h, t, c] = [Math.floor(i / (tokens * d)), Math.floor(i / d) % tokens, i % d];
    return (base[t * d + (c * (2 * h + 1) + h) % d] ?? 0) * ((h + c) % 2 === 0 ? 1 : -1);
  });
  const cache = await orThrow(fromDense(memory)({ shape, layers: [{ keys: values, values }] }));
  const { layers } = await orThrow(read(memory)(cache));
  const width = heads * d;
  const squares = new Float64Array(width * width);
  for (let t = 0; t < tokens; t++) {
    const row = (layers[0] ?? []).flatMap(({ values: v }) => [...v.subarray(t * d, (t + 1) * d)]);
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) squares[i * width + j] = (squares[i * width + j] ?? 0) + (row[i] ?? 0) * (row[j] ?? 0);
    }
  }
  const found = symmetricEigen(squares, width).values;
  const total = found.reduce((a, b) => a + b, 0);
  assertAlmostEquals(found.slice(0, d).reduce((a, b) => a + b, 0) / total, 1, 1e-9);
});

Deno.test("a cache saved with kvtc is smaller, goes on with the same text, and needs the very transforms that coded it", async () => {
  await using backend = await orThrow(openWasm({ threads: 1 }));
  const [model, other] = [await openTransformed(backend), await openTransformed(backend, "second")];
  await using bare = await orThrow(openModel(backend, inductionModel()));
  const prompt = [...begin("red=7341, green=9920, blue=2206, "), ...randomBytes(7, 500), ...ids(" green=")];
  const session = await orThrow(prefill(model, keepAll)(prompt));
  const kvtc = { ratio: 4, sinks: 4, recent: 16 };
  const [plain, small] = [await orThrow(saveSession(session)), await orThrow(saveSession(session, { kvtc }))];
  assert(small.length < plain.length / 3, `${small.length} of ${plain.length}`);
  const back = await orThrow(loadSession(model, { file: "a.kv" })(small));
  assertEquals(await textOf(continueFrom(back, { maxNewTokens: 4 })), "9920");
  const refused = async (of: Model, file = small): Promise<string> => {
    const loaded = await loadSession(of, { file: "a.kv" })(file)();
    return E.isLeft(loaded) ? showError(loaded.left) : "loaded";
  };
  assertMatch(
    await refused(other),
    /^file a\.kv: the transforms of kvtc \(SHA-256\): found [0-9a-f]{64}, allowed is [0-9a-f]{64}, as here$/,
  );
  assertMatch(await refused(bare), /^kvtc is not available: induction was opened without transforms/);
  // A model whose weights differ by a bit has other transforms.
  const file = await orThrow(readSafetensors("t", await transforms("first")));
  assertEquals(readTransforms(file, "", model.spec.shape, "0".repeat(64))._tag, "Left");
  await orThrow(disposeSession(session));
  for (const one of [model, other]) await one.close();
});

Deno.test("transforms of another model, or none at all, are refused before a weight is loaded", async () => {
  await using backend = await orThrow(openWasm({ threads: 1 }));
  const bytes = await transforms("first");
  const { metadata } = await orThrow(readSafetensors("t", bytes));
  const at = String.fromCharCode(...bytes.subarray(0, 4096)).indexOf(metadata.get("weights") ?? "none");
  assert(at > 0, "the file names its weights");
  const files = {
    "length of the table": bytes.subarray(0, 99),
    weights: Uint8Array.from(bytes, (byte, i) => i >= at && i < at + 64 ? 48 : byte),
  };
  for (const [file, content] of Object.entries(files)) {
    let loaded = 0;
    const opened = await openModel(backend, inductionModel(), { transforms: { file, bytes: content }, progress: () => loaded++ })();
    assertMatch(E.isLeft(opened) ? showError(opened.left) : "opened", new RegExp(`^file ${file}: ${file}`));
    assertEquals([loaded, backend.liveBytes().weights], [0, 0]);
  }
});

Deno.test("coding is the same bytes for the same cache, and a plan spends at most its budget at every ratio", async () => {
  await using backend = await orThrow(openWasm({ threads: 1 }));
  const model = await openTransformed(backend);
  const session = await orThrow(prefill(model, keepAll)(begin("cat: meow; dog: woof; ".repeat(6))));
  assertEquals(await orThrow(saveSession(session, { kvtc: everything })), await orThrow(saveSession(session, { kvtc: everything })));
  for (const group of model.transforms?.groups ?? []) {
    for (const stream of ["keys", "values"] as const) {
      const plans = [1.5, 2, 4, 8, 16, 64, 1024].map((ratio) => ({ ratio, plan: planAt(group[stream], ratio) }));
      assert(plans.every(({ ratio, plan }) => plan.bits <= 16 * group[stream].width / ratio));
      assert(plans.every(({ plan }, i) => plan.error >= (plans[i - 1]?.plan.error ?? 0)));
    }
  }
  await textOf(continueFrom(session, { maxNewTokens: 1, ...endless }));
  await model.close();
});

Deno.test("sizes of the paper: 128 MiB for 1,024 tokens of Llama 3.1 8B, and ratios of whole caches with 4 sinks and a window of 128", () => {
  assertEquals(fullBytes(uniformShape({ layers: 32, queryHeads: 32, kvHeads: 8, headDim: 128 }), 1024), 128 * 2 ** 20);
  const whole = (context: number, ratio: number): number => context / ((context - 132) / ratio + 128 + 2);
  const table = [1024, 8192, 32768].map((context) => [8, 16, 32, 64].map((ratio) => Number(whole(context, ratio).toFixed(2))));
  assertEquals(table, [[4.24, 5.51, 6.49, 7.11], [7.2, 12.93, 21.45, 32.01], [7.78, 15.1, 28.5, 51.21]]);
});

Deno.test("a hostile coded cache is one sentence", async () => {
  await using backend = await orThrow(openWasm({ threads: 1 }));
  const model = await openTransformed(backend);
  const session = await orThrow(prefill(model, keepAll)(begin("cat: meow; dog: woof; ".repeat(6))));
  const { content, parts } = await orThrow(unpackFile("a", await orThrow(saveSession(session, { kvtc: everything }))));
  await orThrow(disposeSession(session));
  const random = randomOf("hostile", 1);
  for (let i = 0; i < 40; i++) {
    const at = 1 + random.integer(parts.length - 1);
    const change = random.integer(3);
    const hurt = (part: Uint8Array): Uint8Array =>
      change === 0
        ? part.subarray(0, random.integer(part.length + 1))
        : change === 1
        ? new Uint8Array(part.length)
        : part.map((b) => random.integer(9) === 0 ? random.integer(256) : b);
    const bytes = await packFile({ content, parts: parts.map((part, j) => j === at ? hurt(part) : part) });
    const loaded = await loadSession(model, { file: "a.kv" })(bytes)();
    if (E.isRight(loaded)) await orThrow(disposeSession(loaded.right));
    else assertMatch(showError(loaded.left), /^file a\.kv: /);
    assertEquals(backend.liveBytes().buffers, 0);
  }
  await model.close();
});
