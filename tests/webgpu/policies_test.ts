/** Policies whose ops stand at the end of the table, folded on WebGPU next to the reference: the same rows stay. */
import { assert, assertEquals } from "@std/assert";
import type { Backend } from "../../backends/backend.ts";
import { channelOps } from "../../backends/channel_ops.ts";
import { clusterOps } from "../../backends/cluster_ops.ts";
import { futureOps } from "../../backends/future_ops.ts";
import type { OpName } from "../../backends/ops.ts";
import { openReference } from "../../backends/reference/mod.ts";
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { wovenOps } from "../../backends/woven_ops.ts";
import { parsePolicy } from "../../papers/mod.ts";
import { dispose, openMemory, orThrow, read } from "../../run/mod.ts";
import { fold, planOf } from "../fold_support.ts";
import { sampleOf } from "../support.ts";
import { withoutAdapter } from "../support/webgpu.ts";

/** Every policy that needs such an op, in sizes that act on 46 tokens. */
const policies: ReadonlyArray<string> = [
  "expected(20, queries=4, future=8, sinks=1)",
  "clusterkv(18, per=4, sinks=1, window=4, added=2, dense=0)",
  "keydiff(20)|rerotate",
  "diffkv(1.2, low=0.4, window=4)",
  "h2o(20)+encode(q8, values=q4, at=append, recent=5)",
  "think(40%, queries=4, recent=2)",
  "snapkv(20, window=4)+think(40%, queries=4, recent=2)",
  "tova(20)|decoding+encode(q4g32, values=q4g32, at=append, recent=5)",
];

/** Rows and attention after 40 tokens in chunks and 6 one by one, and the ops that ran. */
async function folded(backend: Backend, text: string) {
  const seen = new Set<OpName>();
  const watched: Backend = {
    ...backend,
    prepare: (program, weights) => {
      for (const { op } of program.body) seen.add(op);
      return backend.prepare(program, weights);
    },
  };
  using memory = openMemory(watched);
  const sample = sampleOf(2, 1, 2, 32, 46, 7);
  const { cache, attended } = await fold(memory, planOf(memory, await orThrow(parsePolicy(text)), sample, 40, 10), sample, 40, 10);
  const positions = (await orThrow(read(memory)(cache))).layers.map((heads) => heads.map((head) => [...head.positions]));
  await orThrow(dispose(memory)(cache));
  return { positions, attended: attended.flat().flatMap((layer) => [...layer]), seen };
}

Deno.test({
  name:
    "webgpu keeps the rows that the reference keeps under clusters, expected attention, re-rotation, eviction among codes and keys without channels",
  ignore: withoutAdapter,
  fn: async () => {
    await using reference = await orThrow(openReference());
    await using webgpu = await orThrow(openWebGpu());
    const seen = new Set<OpName>();
    for (const text of policies) {
      const [expected, actual] = [await folded(reference, text), await folded(webgpu, text)];
      assertEquals([text, actual.positions], [text, expected.positions]);
      // Numbers of order 1; f32 against f64, and rows that pass on as codes of 4 bits may be one code apart.
      const apart = expected.attended.reduce((most, x, i) => Math.max(most, Math.abs(x - (actual.attended[i] ?? NaN))), 0);
      assert(apart < 1e-4, `${text}: attention is ${apart} apart`);
      for (const op of actual.seen) seen.add(op);
    }
    const late = [
      ...Object.keys(wovenOps),
      ...Object.keys(clusterOps),
      ...Object.keys(futureOps),
      ...Object.keys(channelOps),
    ] as ReadonlyArray<OpName>;
    assertEquals(late.filter((op) => !seen.has(op)), []);
  },
});
