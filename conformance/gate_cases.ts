/**
 * Cases of the gate of Fast KVzip.
 * @module
 */
import { type Case, caseOf, input, output } from "./case.ts";
import { randomOf } from "./random.ts";
import { weightOf } from "./weights.ts";

export const sinkGateCases = (seed: number): ReadonlyArray<Case> =>
  [[0, 1, 1, 4, 1], [1, 1, 1, 16, 16], [3, 3, 3, 16, 16], [33, 2, 7, 16, 16], [127, 3, 1, 5, 3], [5, 4, 2, 8, 0], [1025, 3, 3, 16, 16]]
    .flatMap(([m = 0, kvHeads = 1, group = 1, dim = 1, count = 0]) =>
      // Far apart, a gate is 0 or 1 whatever the rounding, and exponentials overflow.
      [1, 40].map((spread) => {
        const random = randomOf(`sinkGate ${m} ${kvHeads} ${group} ${dim} ${count} ${spread}`, seed);
        const [heads, size] = [kvHeads * group, kvHeads * count * dim];
        const params = { m, heads, kvHeads, dim, count, size, scale: 1 / Math.sqrt(dim) };
        return caseOf(`${m} tokens, ${kvHeads} heads of ${group}, ${dim} channels, ${count} sinks, spread ${spread}`, {
          op: "sinkGate",
          params,
        }, {
          q: input(random.normals(m * heads * dim, spread)),
          k: input(random.normals(m * kvHeads * dim)),
          sinks: weightOf(random, "F32", 1, size, { name: "sinks", uses: ["vector"] }),
          bias: weightOf(random, "F32", 1, heads, { name: "bias", uses: ["vector"] }),
          out: output("sinkGate", m * kvHeads),
        });
      })
    );
