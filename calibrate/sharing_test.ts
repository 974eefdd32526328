import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import * as E from "fp-ts/Either.js";
import { type LayerMeans, searchSharing } from "./sharing.ts";

const layer = (x: number, y: number): LayerMeans => ({ keys: Float32Array.of(x, y), values: Float32Array.of(0, 0), dims: [2, 2] });
/** KVSharer's worked example: distances (3,0) 5, (3,2) 4.61, (1,0) and (3,1) 2.5, (2,1) 2.12, (2,0) .5, up to the same factor. */
const four = [layer(0, 0), layer(3, 4), layer(0, 1), layer(6, 8)];

/** A search whose model accepts all maps but those that `reject` names. */
async function search(layers: ReadonlyArray<LayerMeans>, share: number, reject: (from: ReadonlyArray<number>) => boolean = () => false) {
  const tried: (ReadonlyArray<number>)[] = [];
  const found = await searchSharing(layers, {
    share,
    similarity: (from) => Promise.resolve(E.right((tried.push(from), reject(from) ? 0.5 : 0.9))),
  });
  if (E.isLeft(found)) throw new Error(JSON.stringify(found.left));
  return { ...found.right, tried };
}

Deno.test("the most unlike first: 3 reads 0, (3, 2) is skipped because 3 shares already, then 1 reads 0", async () => {
  const { from, shared, complete, trials } = await search(four, 2);
  assertEquals([from, shared, complete, trials], [[0, 0, 2, 0], 2, true, 2]);
});

Deno.test("a map that the model rejects is dropped, also at the threshold itself: then 2 reads 1", async () => {
  const { from, trials } = await search(four, 2, (map) => map[1] === 0);
  assertEquals([from, trials], [[0, 1, 1, 0], 3]);
});

Deno.test("chains end at a layer that keeps its rows: 3 reads 2, then 2 reads 0, so 3 reads 0", async () => {
  const { from } = await search([layer(0, 0), layer(5, 0), layer(5, 5), layer(-9, -9)], 2, (map) => map[3] !== 2 && map[2] !== 0);
  assertEquals(from, [0, 1, 0, 0]);
});

Deno.test("where pairs run out the map so far comes back and says that it is not complete", async () => {
  const { from, shared, complete, similarity } = await search(four, 3, () => true);
  assertEquals([from, shared, complete, similarity], [[0, 1, 2, 3], 0, false, 1]);
});

Deno.test("one layer, more shared than there are, and layers of unlike geometry are refused", async () => {
  const refused = async (layers: ReadonlyArray<LayerMeans>, share: number) => {
    const found = await searchSharing(layers, { share, similarity: () => Promise.resolve(E.right(1)) });
    return E.isLeft(found) && found.left._tag === "InvalidArgument" ? found.left.argument : null;
  };
  assertEquals(await refused([layer(0, 0)], 0), "layers");
  assertEquals(await refused(four, 4), "share");
  assertEquals(await refused([layer(0, 0), { ...layer(1, 1), dims: [1, 2] }], 1), "layers[1]");
});

Deno.test("laws: maps point to earlier layers that keep their rows, the first keeps its own, no shared layer is tried again", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 })), { minLength: 2, maxLength: 8 }),
      fc.nat(7),
      fc.infiniteStream(fc.boolean()),
      async (points, wanted, verdicts) => {
        const layers = points.map(([x, y]) => layer(x, y));
        const share = Math.min(wanted, layers.length - 1);
        const { from, shared, tried, complete } = await search(layers, share, () => verdicts.next().value === true);
        assertEquals(from[0], 0);
        assert(from.every((source, l) => source <= l && from[source] === source));
        assertEquals(shared, from.filter((source, l) => source !== l).length);
        assert(shared <= share && complete === (shared === share));
        assert(tried.length <= layers.length * (layers.length - 1) / 2);
      },
    ),
    { numRuns: 200 },
  ));
