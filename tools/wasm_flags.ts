/**
 * How the two builds of the Wasm kernels differ: compiler flags, and one bit of the finished module.
 * @module
 */

/** The builds, see `backends/wasm/`. */
export type Build = "fast" | "simd128";

/** Both, in the order they are built. */
export const builds: ReadonlyArray<Build> = ["fast", "simd128"];

const features: Readonly<Record<Build, string>> = {
  fast: "+simd128,+relaxed-simd,+atomics,+bulk-memory",
  simd128: "+simd128,+bulk-memory",
};

/** Flags of the linker that `fast` alone has: memory from outside, up to all there is, and a stack pointer each thread sets. */
const shared: ReadonlyArray<string> = ["--import-memory", "--max-memory=4294967296", "--export=__stack_pointer"];

/** The kernels are vectorised by hand; more of it, and unrolling on top, costs bytes and, for want of registers, time. */
const plainLoops: ReadonlyArray<string> = ["no-vectorize-loops", "no-vectorize-slp", "llvm-args=-unroll-runtime=false"];

/** Flags for rustc. Source locations stay out, so that bytes do not depend on folders. */
export function flags(build: Build, linker: string): ReadonlyArray<string> {
  const link = ["-zstack-size=65536", "--stack-first", ...(build === "fast" ? shared : [])];
  return [
    ...["-C", `linker=${linker}`, "-C", `target-feature=${features[build]}`, "-Z", "location-detail=none"],
    ...plainLoops.flatMap((flag) => ["-C", flag]),
    ...link.flatMap((flag) => ["-C", `link-arg=${flag}`]),
  ];
}

/**
 * Marks the imported memory of a module as shared. The linker could, but wasm-bindgen then adds a thread runtime of its own with
 * an allocator, which these kernels neither have nor need: their constants are the same for every instance.
 *
 * Binary format: WebAssembly core specification, sections 5.3.9 (limits) and 5.5.5 (imports).
 */
export function share(module: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = module.slice();
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at];
    const [size, body] = leb(bytes, at + 1);
    if (id === 2) {
      markMemory(bytes, body);
      return bytes;
    }
    at = body + size;
  }
  throw new Error("the module imports nothing");
}

/** `body` is where the import section's content starts; the module imports its memory alone. */
function markMemory(bytes: Uint8Array, body: number): void {
  const [count, first] = leb(bytes, body);
  const [moduleLength, module] = leb(bytes, first);
  const [nameLength, name] = leb(bytes, module + moduleLength);
  const kind = name + nameLength;
  const [memory, hasMaximum, isShared] = [2, 1, 3];
  if (count !== 1 || bytes[kind] !== memory || bytes[kind + 1] !== hasMaximum) {
    throw new Error("the one import is not a memory with a maximum");
  }
  bytes[kind + 1] = isShared;
}

/** An unsigned LEB128 number and where it ends. */
function leb(bytes: Uint8Array, at: number): readonly [value: number, next: number] {
  let [value, shift] = [0, 0];
  for (let i = at; i < at + 5; i++) {
    const byte = bytes[i] ?? 0;
    value += (byte & 127) * 2 ** shift;
    shift += 7;
    if (byte < 128) return [value, i + 1];
  }
  throw new Error("a number of more than 5 bytes");
}
