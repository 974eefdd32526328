/**
 * Greedy generation on WebGPU reads nothing back but the id of the token.
 * @module
 */
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { orThrow } from "../../run/mod.ts";
import { readsTokensOnly } from "../support/greedy.ts";
import { withoutAdapter } from "../support/webgpu.ts";

Deno.test({
  name: "a greedy token takes four bytes from webgpu, and is the one that the logits say",
  ignore: withoutAdapter,
  fn: async () => {
    await using backend = await orThrow(openWebGpu());
    await readsTokensOnly(backend);
  },
});
