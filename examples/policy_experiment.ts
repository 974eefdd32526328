/**
 * An experiment in thirty lines: which share of a list can be evicted before a model forgets an entry, by three policies?
 * Run with `deno run -A examples/policy_experiment.ts`.
 * @module
 */
import { orThrow } from "../mod.ts";
import { continueFrom, extend, forkSession, inductionModel, openModel, prefill } from "../model/mod.ts";
import { parsePolicy } from "../papers/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";

await using backend = await orThrow(openWasm());
await using model = await orThrow(openModel(backend, inductionModel()));

const names = "Ansel Birte Carlo Dagny Edgar Freya Gunter Hedda Ivo Jonna Knut Liesl".split(" ");
const numberOf = (i: number): string => String(1000 + (i * 2357 + 913) % 9000);
const ids = (text: string): ReadonlyArray<number> => [...new TextEncoder().encode(text)];
const list = names.map((name, i) => `${name}=${numberOf(i)}\n`).join("");

for (const policy of ["knorm", "keydiff", "snapkv"]) {
  const recalled: string[] = [];
  for (const share of [100, 75, 50, 25]) {
    const read = await orThrow(prefill(model, await orThrow(parsePolicy(`${policy}(${share}%)`)))([256, ...ids(list)]));
    let right = 0;
    for (const [i, name] of names.entries()) {
      const asked = await orThrow(extend(ids(`${name}=`))(await orThrow(forkSession(read))));
      let answer = "";
      for await (const step of continueFrom(asked, { maxNewTokens: 4 })) answer += step.text;
      if (answer === numberOf(i)) right++;
    }
    recalled.push(`${share}%: ${right}/${names.length}`);
  }
  console.log(`${policy.padEnd(12)}  ${recalled.join("  ")}`);
}
