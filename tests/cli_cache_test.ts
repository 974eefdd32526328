import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { folder, induction, kvfold, started, written } from "./support/command_line.ts";

const prompt = "red=7341, green=9920, blue=2206, pink=5518, red=";
const file = join(folder, "colours.kv");
const generate = ["generate", ...induction, "--max-new-tokens", "4", "--json"];

Deno.test("a cache that one process saved goes on in another with the text of the one that was not saved", async () => {
  const whole = await kvfold(...generate, "--prompt", prompt, "--policy", "knorm(40)");
  const saved = await started(...generate, "--prompt", prompt, "--policy", "knorm(40)", "--save-cache", file);
  const resumed = await started(...generate, "--load-cache", file);
  assertEquals([saved.code, resumed.code], [0, 0], saved.err + resumed.err);
  const [a, b, c] = [whole, saved, resumed].map(({ out }) => JSON.parse(out));
  assertEquals([b.text, c.text], [a.text, a.text]);
  assertEquals([c.policy, b.saved.file, b.saved.bytes], ["knorm(40)", file, (await Deno.stat(file)).size]);
  assertMatch(saved.err, /colours\.kv: the cache of 49 tokens in/);
});

Deno.test("a prompt is read behind a loaded cache", async () => {
  const path = join(folder, "facts.kv");
  await kvfold(...generate, "--prompt", prompt.slice(0, -4), "--save-cache", path);
  assertEquals(JSON.parse((await kvfold(...generate, "--load-cache", path, "--prompt", "green=")).out).text, "9920");
});

Deno.test("a bad cache file is one sentence, and a file that cannot be written leaves nothing behind", async () => {
  await kvfold(...generate, "--prompt", prompt, "--save-cache", file);
  const bytes = await Deno.readFile(file);
  const refused = async (...argv: ReadonlyArray<string>): Promise<string> => {
    const { code, out, err } = await kvfold(...generate, ...argv);
    assertEquals([code, out, err.split("\n").length], [1, "", 2]);
    return err;
  };
  assertMatch(await refused("--load-cache", written("cut.kv", bytes.subarray(0, -1))), /cut\.kv: the parts/);
  assertMatch(
    await refused("--load-cache", written("text.kv", prompt.repeat(3))),
    /text\.kv: the first bytes \(byte 0\): found another kind of file/,
  );
  assertMatch(await refused("--load-cache", file, "--policy", "knorm(8)"), /the policy: found keepall, allowed is knorm\(8\)/);
  assertMatch(await refused("--load-cache", file, "--codec", "f32"), /--codec: found "f32", allowed is f16/);
  assertMatch(await refused("--load-cache", join(folder, "none.kv")), /none\.kv is not available/);
  assertMatch(await refused("--prompt", prompt, "--save-cache", join(folder, "no", "such.kv")), /such\.kv is not available/);
  for (const form of ["kvtc(0)", "kvtc(1025)", "kvtc", "kvtc(8", "zip"]) {
    assertMatch(
      await refused("--prompt", prompt, "--save-cache", join(folder, "form.kv"), "--save-as", form),
      /--save-as: found "[^"]+", allowed is plain, or kvtc\(RATIO\) with a ratio from 1 to 1024/,
    );
  }
  const left = await Array.fromAsync(Deno.readDir(folder));
  assert(left.every(({ name }) => name !== "form.kv"));
  assert(left.every(({ name }) => !name.endsWith(".part")));
});
