/**
 * 200 cycles of open, generate and close on WebGPU in a process of their own, as nothing else may add to its resident memory: prints that memory
 * after each cycle, in bytes, and whether live bytes were back where they began each time.
 * @module
 */
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { showError } from "../../cache/error.ts";
import { generate, inductionModel, openModel } from "../../model/mod.ts";
import { keepAll, parsePolicy } from "../../papers/mod.ts";
import { orThrow } from "../../run/mod.ts";

/** What is printed. */
export interface Cycles {
  readonly resident: ReadonlyArray<number>;
  /** What steps of generation were, cycles that were the same once. */
  readonly steps: ReadonlyArray<string>;
  readonly returned: boolean;
}

async function main(): Promise<Cycles> {
  await using backend = await orThrow(openWebGpu());
  const empty = JSON.stringify(backend.liveBytes());
  const policies = [keepAll, await orThrow(parsePolicy("snapkv(90%)"))];
  const tokens = Array.from({ length: 40 }, (_, t) => 40 + t % 9);
  const [resident, steps, returned]: [number[], Set<string>, boolean[]] = [[], new Set(), []];
  for (let i = 0; i < 200; i++) {
    {
      await using model = await orThrow(openModel(backend, inductionModel()));
      const tags: string[] = [];
      for await (const one of generate(model, policies[i % policies.length] ?? keepAll, { tokens, maxNewTokens: 2 })) {
        tags.push(one._tag === "Failed" ? showError(one.error) : one._tag);
      }
      steps.add(tags.join(" "));
    }
    returned.push(JSON.stringify(backend.liveBytes()) === empty);
    resident.push(Deno.memoryUsage().rss);
  }
  return { resident, steps: [...steps], returned: returned.every((back) => back) };
}

if (import.meta.main) console.log(JSON.stringify(await main()));
