import { assertAlmostEquals, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { type KvError, showError } from "../../cache/error.ts";
import type { Backend, Binding } from "../backend.ts";
import type { OpParams } from "../ops.ts";
import { type Instr, NONE, type Program, type Value } from "../program.ts";
import { openReference } from "../reference/mod.ts";
import { openWasm } from "./mod.ts";
import { keptScores } from "./scores.ts";

const get = <A>(either: E.Either<KvError, A>): A => {
  if (E.isLeft(either)) throw new Error(showError(either.left));
  return either.right;
};

const names = ["q", "keys", "values", "position", "layout", "at", "out", "lse", "mass", "other", "alias"] as const;
const slot = (name: typeof names[number] | "column"): number => name === "column" ? names.length : names.indexOf(name);
const slotsOf = (...given: ReadonlyArray<Parameters<typeof slot>[0]>): ReadonlyArray<number> => given.map(slot);

/** One KV head of two query heads over four channels. */
const scored = { heads: 2, kvHeads: 1, keyDim: 4, keyCodec: "f32", scale: 0.5, window: 0, softcap: 0 } as const;

const attend: Instr = {
  op: "attend",
  args: slotsOf("q", "keys", "values", "position", "layout", "at", "out", "lse"),
  params: { ...scored, m: 1, valueDim: 4, valueCodec: "f32", merge: false },
};

const reduce = (params: Partial<OpParams["attendReduce"]> = {}): Instr => ({
  op: "attendReduce",
  args: [...slotsOf("q", "keys", "position", "layout", "at", "lse", "mass"), NONE, NONE],
  params: { ...scored, queries: 1, overQueries: "sum", overGroup: "sum", accumulate: false, ...params },
});

/** A temporary with memory for eight slots of the layout. */
const measure: Instr = { op: "positions", args: slotsOf("position", "layout", "column"), params: { heads: 1 } };

const moveTo = (name: "q" | "alias"): Instr => ({ op: "slice", args: slotsOf("other", name), params: { from: 0, rows: 1, width: 8 } });

const programOf = (...body: ReadonlyArray<Instr>): Program => ({
  label: "kept",
  values: [...names.map((name): Value => ({ _tag: "Bound", name })), { _tag: "Temp", label: "column", bytes: 32 }],
  body,
});

const bytesOf = (slots: number, group: number): number => 100 * slots + group;
const place = names.length + 1;

Deno.test("an attendReduce takes over the scores of the attend before it, which are as many as the layout has slots", () => {
  const { bytes, operands } = keptScores(programOf(measure, attend, reduce(), moveTo("alias"), reduce()), bytesOf);
  assertEquals(bytes, [802]);
  assertEquals([...operands], [
    [1, [place]],
    [2, [place, ...slotsOf("out", "lse")]],
    [4, [place, ...slotsOf("alias", "mass", "out", "lse")]],
  ]);
});

Deno.test("scores of another kind, of another query or of unknown number are not taken over", () => {
  const others: ReadonlyArray<Program> = [
    ...[{ window: 3 }, { scale: 0.25 }, { softcap: 20 }, { queries: 2 }, { keyCodec: "f16" as const }]
      .map((params) => programOf(measure, attend, reduce(params))),
    programOf(measure, attend, { ...reduce(), args: reduce().args.with(0, slot("other")) }),
    programOf(measure, attend, moveTo("q"), reduce()),
    programOf(measure, { ...attend, args: attend.args.with(6, slot("q")) }, reduce()),
    programOf(measure, reduce(), attend),
    programOf(attend, reduce()),
  ];
  for (const program of others) {
    const { bytes, operands } = keptScores(program, bytesOf);
    assertEquals([bytes, [...operands.values()].every((slots) => slots.length === 1 && slots[0] === NONE)], [[], true]);
  }
});

/** What the program makes of four rows, `alias` being memory of its own or that of another name. */
async function massesOf(backend: Backend, program: Program, alias: "q" | null): Promise<ReadonlyArray<number>> {
  const rows = Float32Array.from({ length: 16 }, (_, i) => Math.sin(i));
  const contents: Readonly<Record<string, Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>> = {
    q: Float32Array.from({ length: 8 }, (_, i) => Math.cos(i)),
    keys: rows,
    values: rows,
    position: Uint32Array.of(0, 1, 2, 3),
    layout: Uint32Array.of(0, 4, 4),
    at: Uint32Array.of(3),
    out: new Float32Array(8),
    lse: new Float32Array(2),
    mass: new Float32Array(4),
    other: Float32Array.from({ length: 8 }, (_, i) => i / 4),
    alias: new Float32Array(8),
  };
  const bindings: Record<string, Binding> = {};
  for (const [name, numbers] of Object.entries(contents)) {
    const buffer = get(backend.alloc(numbers.byteLength, name)());
    get(backend.write(buffer, 0, new Uint8Array(numbers.buffer))());
    bindings[name] = { buffer };
  }
  const bound = alias === null ? bindings : { ...bindings, alias: bindings[alias] ?? { buffer: { id: 0, label: "", bytes: 0 } } };
  get(backend.run(get(await backend.prepare(program, {})()), bound)());
  const mass = bindings["mass"];
  return mass === undefined ? [] : [...new Float32Array(get(await backend.read(mass.buffer, 0, 16)()).buffer)];
}

for (const options of [{ build: "simd128" }, { build: "fast", threads: 2 }] as const) {
  Deno.test(`${options.build}: scores are kept unless their query is written under another name`, async () => {
    await using backend = get(await openWasm(options)());
    await using reference = get(await openReference()());
    const program = programOf(measure, attend, moveTo("alias"), reduce());
    const all = [];
    for (const alias of [null, "q"] as const) {
      const [masses, expected] = [await massesOf(backend, program, alias), await massesOf(reference, program, alias)];
      masses.forEach((mass, i) => assertAlmostEquals(mass, expected[i] ?? NaN, 1e-5));
      all.push(expected.reduce((sum, mass) => sum + mass));
    }
    // Each of the two query heads pays 1 in all, if it is that of the softmax.
    assertAlmostEquals(all[0] ?? NaN, 2, 1e-5);
    assertEquals(Math.abs((all[1] ?? 2) - 2) > 0.1, true);
  });

  Deno.test(`${options.build}: kept scores are counted as scratch`, async () => {
    await using backend = get(await openWasm(options)());
    const scratch = async (...body: ReadonlyArray<Instr>): Promise<number> =>
      get(await backend.prepare(programOf(...body), {})()).scratchBytes;
    // Two scores for each of eight slots, and what a vector from the last one on reaches, in whole lines.
    assertEquals(await scratch(measure, attend, reduce()) - await scratch(measure, attend, reduce({ window: 1 })), 128);
  });
}
