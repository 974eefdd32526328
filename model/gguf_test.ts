import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { type KvError, showError } from "../cache/error.ts";
import { type GgufInput, type Meta, string, strings, type TensorInput, u32, writeGguf } from "../tests/support/gguf_writer.ts";
import { type GgufFile, numbersOf, type NumberType, parseGguf, stringsOf } from "./gguf.ts";

/** 64 numbers, F32. */
const tensor = (name: string, changes: Partial<TensorInput> = {}): TensorInput => ({
  name,
  type: "F32",
  dims: [32, 2],
  bytes: new Uint8Array(256),
  ...changes,
});
const good: GgufInput = { metadata: [["general.architecture", string("llama")]], tensors: [tensor("a"), tensor("b")] };

const parse = (changes: Partial<GgufInput> = {}): E.Either<KvError, GgufFile> => parseGguf("m.gguf", writeGguf({ ...good, ...changes }));
const sentence = (result: E.Either<KvError, GgufFile>): string => E.isLeft(result) ? showError(result.left) : "read";
const bad = (changes: Partial<GgufInput>): string => sentence(parse(changes));
const patched = (at: number, ...bytes: ReadonlyArray<number>): string => {
  const file = writeGguf(good);
  file.set(bytes, at);
  return sentence(parseGguf("m.gguf", file));
};

/** Offsets in the good file: header 24; key length, key (20 bytes), type; value length, 5 bytes; then the tensors' entries. */
const at = { tensorCount: 8, keyCount: 16, key: 24, type: 52, value: 56, table: 69 } as const;

Deno.test("a sound file gives its metadata and tensors as views, in versions 2 and 3", () => {
  for (const version of [2, 3]) {
    const file = writeGguf({ ...good, version });
    const read = parseGguf("m.gguf", file);
    if (E.isLeft(read)) throw new Error(showError(read.left));
    assertEquals(read.right.version, version);
    assertEquals(read.right.metadata.get("general.architecture"), { _tag: "String", value: "llama" });
    assertEquals([...read.right.tensors.values()].map((t) => [t.name, t.type, t.dims, t.offset, t.bytes.length]), [
      ["a", "F32", [32, 2], 160, 256],
      ["b", "F32", [32, 2], 416, 256],
    ]);
    assertEquals(read.right.tensors.get("a")?.bytes.buffer, file.buffer);
  }
});

Deno.test("every metadata type is read as it was written", () => {
  const values: ReadonlyArray<{ readonly type: NumberType; readonly value: number }> = [
    { type: "u8", value: 200 },
    { type: "i8", value: -100 },
    { type: "u16", value: 60000 },
    { type: "i16", value: -30000 },
    { type: "u32", value: 4e9 },
    { type: "i32", value: -2e9 },
    { type: "f32", value: 0.5 },
    { type: "u64", value: 2 ** 53 - 1 },
    { type: "i64", value: -(2 ** 53 - 1) },
    { type: "f64", value: Math.PI },
  ];
  const read = parse({ metadata: values.map((v) => [v.type, v]) });
  assertEquals(
    E.isRight(read) && [...read.right.metadata.values()],
    values.map((v) => ({ _tag: "Number", type: v.type, value: v.value })),
  );
});

Deno.test("arrays are decoded when asked for; strings in them may hold anything", () => {
  const read = parse({
    metadata: [["words", strings(["", "Ġthe", "\u0000"])], [
      "counts",
      { type: "array", of: "i16", values: [-1, 2].map((value) => ({ type: "i16", value })) },
    ]],
  });
  if (E.isLeft(read)) throw new Error(showError(read.left));
  const [words, counts] = read.right.metadata.values();
  assertEquals(words?._tag === "Strings" && stringsOf(words), ["", "Ġthe", "\u0000"]);
  assertEquals(counts?._tag === "Numbers" && [...numbersOf(counts)], [-1, 2]);
});

Deno.test("64-bit integers that a number cannot hold stay exact", () => {
  const file = writeGguf({ metadata: [["big", { type: "u64", value: 0 }]], tensors: [] });
  new DataView(file.buffer).setBigUint64(file.length - 8, 2n ** 64n - 1n, true);
  const read = parseGguf("m.gguf", file);
  assertEquals(E.isRight(read) && read.right.metadata.get("big"), { _tag: "Wide", type: "u64", value: 2n ** 64n - 1n });
});

Deno.test("wrong magic, version and byte order", () => {
  assertEquals(bad({ magic: "GGML" }), 'file m.gguf: magic (byte 0): found "GGML", allowed is "GGUF"');
  assertEquals(bad({ version: 1 }), "file m.gguf: version (byte 4): found 1, allowed is 2 or 3");
  assertEquals(
    bad({ version: 0x03000000 }),
    "file m.gguf is not supported by the GGUF reader: it is big endian, and only little endian is read",
  );
  assertEquals(
    sentence(parseGguf("m.gguf", new Uint8Array())),
    "file m.gguf: magic (byte 0): found a file of 0 bytes, allowed is at least 4 bytes",
  );
});

Deno.test("counts that the file cannot hold are refused before anything is allocated", () => {
  assertEquals(
    bad({ tensorCount: 2 ** 40 }),
    "file m.gguf: tensor count (byte 8): found 1099511627776, allowed is 0 to 19, what the rest of the file can hold",
  );
  assertEquals(
    bad({ keyCount: 1000 }),
    "file m.gguf: metadata count (byte 16): found 1000, allowed is 0 to 46, what the rest of the file can hold",
  );
  assertEquals(
    patched(at.tensorCount, 255, 255, 255, 255, 255, 255, 255, 255),
    "file m.gguf: tensor count (byte 8): found 18446744073709551616, allowed is 0 to 19, what the rest of the file can hold",
  );
});

Deno.test("a huge string", () => {
  assertEquals(
    patched(at.value, 0, 0, 0, 0, 1),
    "file m.gguf: length of general.architecture (byte 56): found 4294967296, allowed is 0 to 608, what the rest of the file can hold",
  );
  const words = writeGguf({ metadata: [["words", strings(["a", "b"])]], tensors: [] });
  words[words.length - 5] = 1;
  assertEquals(
    sentence(parseGguf("m.gguf", words)),
    "file m.gguf: length of words, string 1 (byte 62): found 4294967297, allowed is 0 to 1, what is left of the file",
  );
});

Deno.test("names and texts that are empty, twice there or not UTF-8", () => {
  assertEquals(
    bad({ metadata: [["a", u32(1)], ["a", u32(2)]] }),
    'file m.gguf: metadata key 1 (byte 41): found "a" again, allowed is each key once',
  );
  assertEquals(bad({ metadata: [["", u32(1)]] }), 'file m.gguf: metadata key 0 (byte 24): found "", allowed is a name');
  assertEquals(
    bad({ tensors: [tensor("a"), tensor("a")] }),
    'file m.gguf: tensor name 1 (byte 110): found "a" again, allowed is each name once',
  );
  assertEquals(bad({ tensors: [tensor("")] }), 'file m.gguf: tensor name 0 (byte 69): found "", allowed is a name');
  assertEquals(
    bad({ tensors: [tensor("n".repeat(65))] }),
    "file m.gguf: length of tensor name 0 (byte 69): found 65, allowed is 0 to 64",
  );
  assertEquals(
    patched(at.value + 8, 0xff),
    "file m.gguf: general.architecture (byte 64): found bytes that are not UTF-8, allowed is UTF-8",
  );
});

Deno.test("unknown value types, truth values other than 0 and 1, arrays too deep", () => {
  assertEquals(patched(at.type, 13), "file m.gguf: type of general.architecture (byte 52): found 13, allowed is 0 to 12");
  const truth = writeGguf({ metadata: [["t", { type: "bool", value: true }]], tensors: [] });
  truth[truth.length - 1] = 2;
  assertEquals(sentence(parseGguf("m.gguf", truth)), "file m.gguf: t (byte 37): found 2, allowed is 0 or 1 for a truth value");
  const nested = (depth: number): Meta => ({ type: "array", of: "array", values: depth === 0 ? [] : [nested(depth - 1)] });
  assertEquals(E.isRight(parse({ metadata: [["n", nested(2)]] })), true);
  assertEquals(
    bad({ metadata: [["n", nested(9)]] }),
    "file m.gguf: n (byte 73): found arrays in arrays, allowed is at most 4 deep",
  );
});

Deno.test("alignments that are not a power of two", () => {
  for (const value of [0, 3, 131072]) {
    assertEquals(
      bad({ metadata: [["general.alignment", u32(value)]] }),
      `file m.gguf: general.alignment: found ${value}, allowed is a power of two from 1 to 65536`,
    );
  }
  assertEquals(
    bad({ metadata: [["general.alignment", string("32")]] }),
    "file m.gguf: general.alignment: found a value of kind String, allowed is a power of two from 1 to 65536",
  );
});

Deno.test("tensor types that nobody knows, or that kvfold does not compute with", () => {
  assertEquals(
    bad({ tensors: [tensor("a", { typeId: 99 })] }),
    "file m.gguf: type of tensor a (byte 98): found 99, allowed is a tensor type of GGUF",
  );
  assertEquals(
    bad({ tensors: [tensor("a", { typeId: 10 })] }),
    "tensor a of type Q2_K in file m.gguf is not supported by this version: supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K",
  );
});

Deno.test("dims: none, five, zero, more than the file holds, rows of broken blocks", () => {
  assertEquals(
    bad({ tensors: [tensor("a", { dims: [] })] }),
    "file m.gguf: dimension count of tensor a (byte 78): found 0, allowed is 1 to 4",
  );
  assertEquals(
    bad({ tensors: [tensor("a", { dims: [1, 1, 1, 1, 1] })] }),
    "file m.gguf: dimension count of tensor a (byte 78): found 5, allowed is 1 to 4",
  );
  assertEquals(
    bad({ tensors: [tensor("a", { dims: [32, 0] })] }),
    "file m.gguf: dimension 1 of tensor a (byte 90): found 0, allowed is 1 or more",
  );
  assertEquals(
    bad({ tensors: [tensor("a", { dims: [2 ** 50] })] }),
    "file m.gguf: dimension 0 of tensor a (byte 82): found 1125899906842624, allowed is 0 to 1470, what the rest of the file can hold",
  );
  assertEquals(
    bad({ tensors: [tensor("a", { type: "Q4_0", dims: [40, 2] })] }),
    "file m.gguf: dimensions of tensor a (byte 98): found 40 x 2 of Q4_0, allowed is at most 2^53 bytes in rows of whole blocks of 32",
  );
});

Deno.test("a product of dims beyond 2^53 is refused, not wrapped", () => {
  const dims = [100_000, 100_000, 100_000, 100_000];
  assertEquals(
    bad({ tensors: [tensor("a", { dims, bytes: new Uint8Array(100_000) })] }),
    "file m.gguf: dimensions of tensor a (byte 114): found 100000 x 100000 x 100000 x 100000 of F32, allowed is at most 2^53 bytes in rows of whole blocks of 1",
  );
});

Deno.test("offsets: not aligned, past the end, in another tensor", () => {
  assertEquals(
    bad({ tensors: [tensor("a", { offset: 8 })] }),
    "file m.gguf: offset of tensor a (byte 102): found 8, allowed is a multiple of 32",
  );
  assertEquals(
    bad({ tensors: [tensor("a", { offset: 128 })] }),
    "file m.gguf: tensor a (byte 102): found bytes 256 to 512, allowed is bytes inside the file of 384 bytes",
  );
  assertEquals(
    bad({ tensors: [tensor("a"), tensor("b", { offset: 32 })] }),
    "file m.gguf: tensor b (byte 192): found a start inside tensor a, allowed is byte 416 or later",
  );
});

Deno.test("a file cut anywhere is refused, with the place", () => {
  const file = writeGguf(good);
  for (let length = 0; length < file.length; length++) {
    const read = parseGguf("m.gguf", file.subarray(0, length));
    assertEquals(E.isLeft(read) && read.left._tag, "InvalidFile");
    assertEquals(E.isLeft(read) && "offset" in read.left && (read.left.offset ?? Infinity) <= length, true);
  }
  assertEquals(
    sentence(parseGguf("m.gguf", file.subarray(0, 500))),
    "file m.gguf: tensor b (byte 143): found bytes 416 to 672, allowed is bytes inside the file of 500 bytes",
  );
});

Deno.test("a file that is a view into a larger buffer is read from its own start", () => {
  const file = writeGguf(good);
  const inside = new Uint8Array(file.length + 7);
  inside.set(file, 7);
  assertEquals(E.isRight(parseGguf("m.gguf", inside.subarray(7))), true);
});

Deno.test("names in a file cannot command the terminal that shows the error", () => {
  assertEquals(
    bad({ tensors: [tensor("a\u001b[2J\r\nb", { typeId: 99 })] }),
    "file m.gguf: type of tensor a [2J b (byte 105): found 99, allowed is a tensor type of GGUF",
  );
});
