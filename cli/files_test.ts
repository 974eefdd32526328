import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { showError } from "../cache/error.ts";
import { cacheFolder, inTempFolder, isPinned, type Pin, store } from "./files.ts";

const bytes = new TextEncoder().encode("a small file");
const pin: Pin = { size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
const names = (folder: string): string[] => [...Deno.readDirSync(folder)].map((entry) => entry.name);

const inFolder = async (use: (folder: string) => Promise<void>): Promise<void> => {
  const result = await inTempFolder((folder) => () => use(folder).then(E.right))();
  assert(E.isRight(result), E.isLeft(result) ? showError(result.left) : "");
};

Deno.test("a file that is what its pin says is stored, and is then found", () =>
  inFolder(async (folder) => {
    const path = join(folder, "deep", "file.txt");
    assertEquals(await isPinned(path, pin)(), E.right(false));
    assertEquals(
      await store(path, pin, (write) => {
        write(bytes.subarray(0, 5));
        write(bytes.subarray(5));
        return Promise.resolve();
      })(),
      E.right(path),
    );
    assertEquals(await isPinned(path, pin)(), E.right(true));
    assertEquals(names(join(folder, "deep")), ["file.txt"]);
  }));

const bad: Record<string, (write: (piece: Uint8Array) => void) => Promise<void>> = {
  "one changed byte": (write) => Promise.resolve(write(bytes.map((b, i) => i === 3 ? b ^ 1 : b))),
  "a truncated file": (write) => Promise.resolve(write(bytes.subarray(1))),
  "more bytes than announced": (write) => Promise.resolve([bytes, bytes].forEach(write)),
  "a source that fails halfway": (write) => {
    write(bytes.subarray(0, 4));
    return Promise.reject(new Error("connection reset"));
  },
};
for (const [name, source] of Object.entries(bad)) {
  Deno.test(`${name} leaves neither the file nor a part of it`, () =>
    inFolder(async (folder) => {
      const result = await store(join(folder, "file.txt"), pin, source)();
      assert(E.isLeft(result));
      assertStringIncludes(showError(result.left), "is not available");
      assertEquals(names(folder), []);
    }));
}

Deno.test("a cached file that was changed later is not taken", () =>
  inFolder(async (folder) => {
    const path = join(folder, "file.txt");
    await Deno.writeFile(path, bytes.map((b) => b ^ 255));
    assertEquals(await isPinned(path, pin)(), E.right(false));
  }));

Deno.test("the cache folder is KVFOLD_CACHE, else the user's cache folder, else an error", () => {
  const env = (vars: Record<string, string>) => (name: string) => vars[name];
  assertEquals(cacheFolder(env({ KVFOLD_CACHE: "/a", HOME: "/h" })), E.right("/a"));
  assertEquals(cacheFolder(env({ XDG_CACHE_HOME: "/x", HOME: "/h" })), E.right(join("/x", "kvfold")));
  assertEquals(cacheFolder(env({ HOME: "/h" })), E.right(join("/h", ".cache", "kvfold")));
  assert(E.isLeft(cacheFolder(env({}))));
});
