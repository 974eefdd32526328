import { assertEquals } from "@std/assert";
import { weightTypes } from "../backends/blocks.ts";
import { decodeBlocks } from "../backends/reference/mod.ts";
import type { BlocksGolden } from "./support/golden.ts";
import { blockShape, goldenBlocks, readGolden, sha256 } from "./support/golden.ts";

const golden = await readGolden<BlocksGolden>("blocks");

for (const type of weightTypes) {
  Deno.test(`${type} blocks decode to the same bits as the Python package gguf`, async () => {
    const numbers = decodeBlocks(type, goldenBlocks(type), blockShape.rows * blockShape.cols);
    assertEquals(numbers.every(Number.isFinite), true);
    assertEquals(await sha256(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength).slice()), golden.sha256[type]);
  });
}
