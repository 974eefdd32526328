/**
 * Every script under examples/ runs as it stands and prints what it promises.
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";

const prints: Record<string, RegExp> = {
  "compress_your_own.ts": /full: {2}1200 rows, \d+ bytes\nsmall: 256 rows, \d+ bytes\nlayer 0, head 0 keeps positions \d/,
  "write_a_policy.ts": /^\{"_tag":"Policy"[^]*plan longest[^]*\n {4}truncate/,
  "generate_with_a_policy.ts": /^keepall: "7341" from \d+ rows, \d+ bytes\nstreamingllm\(16\): "(?!7341)/,
  "compare_backends.ts": /^reference .*\nwasm-simd128 .* [\d.]+e-\d\nwasm-fast .* [\d.]+e-\d\n$/,
  "prune_foreign_cache.ts":
    /^key of layer 0: 2 x 2 x 12 x 8\nattention_mask: 2 x 13, position_ids: 40, 24\nknorm.* keeps 15, 9, 13, 11 rows, padded to 15; [^]*found "heads of 9 to 15 rows"/,
  // Without an adapter there is no device to lose, and the script says so.
  "survive_device_loss.ts":
    /^backend webgpu (lost its device: .*; wasm-\w+ goes on after 2 tokens|cannot be opened: .*)\nthe answer, in two halves: 7341\n$/,
  "own_gpu_buffers.ts":
    /^(there is no graphics adapter here.*|on .*: 131072 bytes of keys became 32768; the cache holds \d+ bytes\nhead 0 keeps positions \d.*\nthe host's buffers are still the host's)\n$/,
  "policy_experiment.ts": /^knorm +100%: 12\/12 {2}75%: \d+\/12 .*\nkeydiff +100%: 12\/12 .*\nsnapkv +100%: 12\/12 {2}75%: \d+\/12 /,
};

Deno.test("every example is in this table (the page has tests of its own)", () => {
  const names = [...Deno.readDirSync(new URL("../examples", import.meta.url))].filter((entry) => entry.isFile).map(({ name }) => name);
  assertEquals(names.toSorted(), Object.keys(prints).toSorted());
});

for (const [name, expected] of Object.entries(prints)) {
  Deno.test(`examples/${name} runs and prints what it promises`, async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `examples/${name}`],
      cwd: new URL("..", import.meta.url),
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    assertMatch(new TextDecoder().decode(stdout), expected);
  });
}
