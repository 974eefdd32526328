import { assert, assertEquals } from "@std/assert";
import { openModel, readModelFile } from "../model/mod.ts";
import { orThrow } from "../run/mod.ts";
import { endless, everyPolicy, randomBytes, steps } from "./model_support.ts";
import { backends } from "./support.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

const prompt = randomBytes(7, 18);

for (const { name, open } of backends.filter((b) => b.name !== "reference")) {
  Deno.test(`1,000 cycles of open, generate and dispose end where they began (${name})`, async () => {
    await using backend = await open();
    const file = await orThrow(readModelFile("tiny", tinyFile(tiny("qwen2"))));
    const policies = everyPolicy(9);
    const empty = backend.liveBytes();
    for (let i = 0; i < 1000; i++) {
      const model = await orThrow(openModel(backend, file));
      const how = policies[i % policies.length] ?? [];
      if ("blocks" in how) {
        const all = await steps(model, how, { tokens: prompt, maxNewTokens: 2, chunk: 8, ...endless });
        assertEquals(all.map((s) => s._tag), ["Token", "Token", "Done"]);
      }
      await model.close();
      const { buffers, weights, programs } = backend.liveBytes();
      assertEquals({ buffers, weights, programs }, { buffers: empty.buffers, weights: empty.weights, programs: empty.programs });
    }
  });

  Deno.test(`1,000 generations of one model hold no more than the first of each (${name})`, async () => {
    await using backend = await open();
    await using model = await orThrow(openModel(backend, tinyFile(tiny("qwen2")), { programs: 64 }));
    const policies = everyPolicy(9);
    let first = backend.liveBytes();
    for (let i = 0; i < 1000; i++) {
      for (const how of policies.slice(i % policies.length, i % policies.length + 1)) {
        await steps(model, how, { tokens: prompt, maxNewTokens: 2, chunk: 8, ...endless });
      }
      if (i + 1 === policies.length) first = backend.liveBytes();
    }
    assertEquals(backend.liveBytes(), first);
    assert(model.programs.ready.size <= model.programs.limit);
  });
}
