import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { type KvError, showError } from "../cache/error.ts";
import { readSafetensors, writeSafetensors } from "../model/safetensors.ts";
import { orThrow } from "../run/mod.ts";
import { FLOOR, readPairs } from "./pairs.ts";

/** Two rows of three channels, and their scores for two heads. */
async function pairsOf(...shards: ReadonlyArray<{ readonly hidden: ReadonlyArray<number>; readonly target: ReadonlyArray<number> }>) {
  const files = await Promise.all(shards.map(async ({ hidden, target }) =>
    await orThrow(readSafetensors(
      "shard",
      await orThrow(writeSafetensors([
        { name: "hidden.0", type: "F16", shape: [hidden.length / 3, 3], numbers: Float32Array.from(hidden) },
        { name: "target.0", type: "F32", shape: [target.length / 2, 2], numbers: Float32Array.from(target) },
      ])),
    ))
  ));
  return await readPairs(
    files.map((_, i) => String(i)),
    (path) =>
      Promise.resolve(E.fromNullable<KvError>({ _tag: "Unavailable", what: path, because: "it is not there" })(files[Number(path)])),
    0,
  );
}

const hidden = [1, 2, 3, 4, 5, 6];

Deno.test("pairs are joined shard by shard, targets are logarithms, and what is below the floor counts as the floor and is counted", async () => {
  const { x, y, width, heads, underflowed } = await orThrow(
    await pairsOf({ hidden, target: [1, 0, 0.5, 1e-12] }, { hidden: [7, 8, 9], target: [0.25, 1] }),
  );
  assertEquals([[...x], width, heads], [[...hidden, 7, 8, 9], 3, 2]);
  assertEquals([...y], [...Float32Array.of(0, Math.log(FLOOR), Math.log(0.5), Math.log(FLOOR), Math.log(0.25), 0)]);
  assertEquals(underflowed, [0, 2 / 3]);
});

Deno.test("a number that is not finite, a score below zero, and shards that do not fit are refused by shard and layer", async () => {
  const cases = [
    [[{ hidden: [...hidden.slice(1), NaN], target: [1, 1, 1, 1] }], "hidden state that is not finite"],
    [[{ hidden, target: [1, 1, 1, NaN] }], "score that is not a number from 0"],
    [[{ hidden, target: [1, -1, 1, 1] }], "score that is not a number from 0"],
    [[{ hidden, target: [1, 1] }], "2 x 3 and 1 x 2"],
  ] as const;
  for (const [shards, part] of cases) {
    const read = await pairsOf(...shards);
    assert(E.isLeft(read));
    assertStringIncludes(showError(read.left), part);
    assertStringIncludes(showError(read.left), "layer 0");
  }
});
