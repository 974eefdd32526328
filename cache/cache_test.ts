import { assertEquals, assertMatch } from "@std/assert";
import * as E from "fp-ts/Either.js";
import fc from "fast-check";
import { bytesOf, fullBytes, rowsKept, rowsPerHead } from "./bytes.ts";
import { checkCache } from "./check.ts";
import { checkShape } from "./check_shape.ts";
import { decodeRows, encodeRows } from "./encode.ts";
import { showBytes, showCache } from "./show.ts";
import type { Buffer, KvCache, Segment, Tier } from "./types.ts";
import { uniformShape } from "./uniform.ts";

const shape = uniformShape({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 4 });
const layer = shape.layers[0] ?? { queryHeads: 0, kvHeads: 0, keyDim: 0, valueDim: 0, scale: 0, rope: { theta: 1, dims: 0 }, window: 0 };

const buffer = (id: number, bytes: number): Buffer => ({ id, bytes, label: `b${id}` });

/** Two heads of 3 and 5 rows in 4 and 6 slots, f16 keys and f32 values, one column; buffers rounded up to 16 bytes. */
const tier = (over: Partial<Tier> = {}): Tier => ({
  keyCodec: { _tag: "Plain", dtype: "f16" },
  valueCodec: { _tag: "Plain", dtype: "f32" },
  storage: { keys: buffer(1, 80), values: buffer(2, 160), position: buffer(3, 48), columns: { mass: buffer(4, 48) }, pages: null },
  segments: [{ start: 0, length: 3, capacity: 4 }, { start: 4, length: 5, capacity: 6 }],
  layoutOffset: 0,
  exact: true,
  frozen: false,
  ...over,
});

const cache = (over: Partial<KvCache> = {}): KvCache => ({
  _tag: "KvCache",
  layers: [
    {
      _tag: "Own",
      shape: layer,
      tiers: [tier()],
      recent: { window: 2, queries: buffer(5, 128), lse: buffer(6, 32), position: buffer(7, 16) },
    },
    { _tag: "Alias", shape: layer, layer: 0 },
  ],
  nextPosition: 9,
  layout: buffer(8, 32),
  epoch: 1,
  family: 1,
  ...over,
});

Deno.test("bytes are exact by use, and their sum is what the buffers hold", () => {
  assertEquals(bytesOf(cache()), {
    rows: 8 * (8 + 16),
    slack: (80 + 160 + 48 + 48) - 8 * (8 + 16 + 4 + 4),
    columns: 8 * 4,
    positions: 8 * 4,
    layouts: 32,
    recent: 128 + 32 + 16,
    total: 80 + 160 + 48 + 48 + 128 + 32 + 16 + 32,
  });
});

Deno.test("a shared layer shows the rows it reads and holds none", () => {
  assertEquals(rowsPerHead(cache()), [[3, 5], [3, 5]]);
  assertEquals(rowsKept(cache()), 8);
});

Deno.test("the yardstick is the whole cache in f16", () => {
  assertEquals(fullBytes(shape, 100), 2 * 2 * 100 * 8 * 2);
});

Deno.test("a well-formed value passes its check, and each way to be malformed is found", () => {
  const own = (over: Partial<Tier>): KvCache => cache({ layers: [{ _tag: "Own", shape: layer, tiers: [tier(over)], recent: null }] });
  const segments = (...s: ReadonlyArray<Segment>): KvCache => own({ segments: s });
  const malformed: ReadonlyArray<KvCache> = [
    segments({ start: 0, length: 5, capacity: 4 }, { start: 4, length: 5, capacity: 6 }),
    segments({ start: 0, length: 3, capacity: 5 }, { start: 4, length: 5, capacity: 6 }),
    segments({ start: 0, length: 3, capacity: 4 }, { start: 4, length: 5, capacity: 7 }),
    segments({ start: 0, length: 3, capacity: 4 }),
    segments({ start: 0, length: 0.5, capacity: 4 }, { start: 4, length: 5, capacity: 6 }),
    own({ frozen: true }),
    own({ layoutOffset: 16 }),
    cache({ layers: [{ _tag: "Alias", shape: layer, layer: 0 }] }),
    cache({ layers: [{ _tag: "Own", shape: layer, tiers: [tier()], recent: null }, { _tag: "Alias", shape: layer, layer: 1 }] }),
    cache({ nextPosition: -1 }),
  ];
  assertEquals(checkCache(cache())._tag, "Right");
  assertEquals(malformed.map((c) => E.isLeft(checkCache(c))), malformed.map(() => true));
});

Deno.test("a shape that cannot be a model's is refused", () => {
  const bad = [{ kvHeads: 0 }, { kvHeads: 3 }, { keyDim: 1.5 }, { valueDim: -1 }, { queryHeads: NaN }, { scale: Infinity }, { window: -1 }];
  assertEquals(checkShape(shape)._tag, "Right");
  assertEquals([{ layers: [] }, ...bad.map((b) => ({ layers: [layer, { ...layer, ...b }] }))].map((s) => checkShape(s)._tag), [
    "Left",
    ...bad.map(() => "Left"),
  ]);
});

Deno.test("f16 rows round to the nearest even and widen exactly; f32 rows are bit for bit", () => {
  const through = (dtype: "f16" | "f32", x: number): number =>
    decodeRows({ _tag: "Plain", dtype }, encodeRows({ _tag: "Plain", dtype }, Float32Array.of(x), 1), 1)[0] ?? NaN;
  assertEquals(through("f16", 1 + 2 ** -11), 1); // halfway, down to even
  assertEquals(through("f16", 1 + 3 * 2 ** -11), 1 + 2 ** -9); // halfway, up to even
  fc.assert(fc.property(fc.float(), (x) => Object.is(through("f32", x), x)), { numRuns: 500 });
  fc.assert(
    fc.property(
      fc.float({ noNaN: true, min: -65000, max: 65000 }),
      (x) => Math.abs(through("f16", x) - x) <= Math.max(Math.abs(x) * 2 ** -11, 2 ** -25),
    ),
    { numRuns: 500 },
  );
});

Deno.test("a cache shows in one line what a person asks first", () => {
  assertEquals(showCache(cache()), "cache of 2 layers: 9 tokens seen, 8 rows kept (3 to 5 a head), f16/f32, 544 B");
  assertEquals([0, 999, 1000, 94_400_000, 3.2e9].map(showBytes), ["0 B", "999 B", "1.0 kB", "94.4 MB", "3.2 GB"]);
  assertMatch(showCache(cache({ layers: [] })), /no heads/);
});
