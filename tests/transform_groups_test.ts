/**
 * KVTC over several layers at once: what one group does to two layers is what two groups do that have the same components.
 */
import { assert, assertEquals } from "@std/assert";
import { bitsOf } from "../cache/bit_plan.ts";
import { disposeSession, type Model, prefill } from "../model/mod.ts";
import { type Stream, streams, type Transform } from "../model/transform.ts";
import { codeCache, type Coder, coderFor, decodeCache } from "../model/transform_code.ts";
import type { Planned } from "../model/transform_group.ts";
import { parsePolicy } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { type SavedCache, takeOut } from "../run/save.ts";
import { begin, randomBytes } from "./model_support.ts";
import { onEveryTransformed } from "./transform_support.ts";

/** All components at 8 bits. */
const finely = (transform: Transform, stream: Stream, sizes: ReadonlyArray<number>): Planned => ({
  transform,
  stream,
  plan: { groups: sizes.map((size) => ({ size, type: "int8" })), bits: sizes.reduce((sum, n) => sum + n * bitsOf.int8 + 32, 0), error: 0 },
});

/** The components of two groups as those of one: none reaches over both. */
function beside(a: Transform, b: Transform): Transform {
  const [width, rank] = [a.width + b.width, a.rank + b.rank];
  const basis = new Uint16Array(rank * width);
  for (let k = 0; k < a.rank; k++) basis.set(a.basis.subarray(k * a.width, (k + 1) * a.width), k * width);
  for (let k = 0; k < b.rank; k++) basis.set(b.basis.subarray(k * b.width, (k + 1) * b.width), (a.rank + k) * width + a.width);
  return {
    from: a.from,
    to: b.to,
    width,
    rank,
    mean: Float32Array.of(...a.mean, ...b.mean),
    basis,
    energy: Float64Array.of(...a.energy, ...b.energy),
    error: new Float32Array(),
  };
}

async function there(coder: Coder, planned: ReadonlyArray<Planned>, saved: SavedCache): Promise<ReadonlyArray<Uint8Array>> {
  const own = { ...coder, planned };
  return (await orThrow(decodeCache(own, "t")(saved.table, await orThrow(codeCache(own)(saved))))).parts;
}

const halves = (bytes: Uint8Array): Float16Array => new Float16Array(Uint8Array.from(bytes).buffer);

async function compared(model: Model, text: string): Promise<void> {
  const session = await orThrow(
    prefill(model, await orThrow(parsePolicy(text)))([...begin("red=7341, green=9920, "), ...randomBytes(5, 300)]),
  );
  const saved = await orThrow(takeOut(model.memory)(session.cache));
  const coder = await orThrow(() => Promise.resolve(coderFor(model, { ratio: 2, sinks: 4, recent: 16 })));
  const [first, second] = model.transforms?.groups ?? [];
  assert(first !== undefined && second !== undefined && model.transforms?.groups.length === 2);
  const apart = [first, second].flatMap((group) => streams.map((stream) => finely(group[stream], stream, [group[stream].rank])));
  const together = streams.map((stream) =>
    finely(beside(first[stream], second[stream]), stream, [first[stream].rank, second[stream].rank])
  );
  const [a, b] = [await there(coder, apart, saved), await there(coder, together, saved)];
  assertEquals(a.map(({ length }) => length), saved.parts.map(({ length }) => length));
  for (const [i, part] of a.entries()) {
    if (i % 3 === 0) {
      assertEquals(b[i], part);
      continue;
    }
    const [x, y] = [halves(part), halves(b[i] ?? new Uint8Array())];
    const energy = x.reduce((sum, v) => sum + v * v, 0);
    // Sums in another order may round a code or a half the other way, here and there.
    assert(x.reduce((sum, v, c) => sum + (v - (y[c] ?? NaN)) ** 2, 0) <= 1e-5 * energy, `${text}: part ${i}`);
  }
  await orThrow(disposeSession(session));
}

onEveryTransformed("two layers in one group lose what they lose in two, also where heads keep different tokens", async (model) => {
  for (const text of ["keepall", "knorm(60)|ada(20%)", "snapkv(50%, window=8)"]) await compared(model, text);
});
