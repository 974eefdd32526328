import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { showError } from "../cache/error.ts";
import { inTempFolder } from "./files.ts";
import { fromUrl } from "./sources.ts";

const body = new TextEncoder().encode("weights ".repeat(1000));
const pin = { size: body.length, sha256: createHash("sha256").update(body).digest("hex") };

/** Runs `use` with the address of a server that answers so, and with an empty folder. */
const served = async (respond: () => Response, use: (url: string, folder: string) => Promise<void>): Promise<void> => {
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, respond);
  const result = await inTempFolder((folder) => () => use(`http://127.0.0.1:${server.addr.port}/f`, folder).then(E.right))();
  assert(E.isRight(result), E.isLeft(result) ? showError(result.left) : "");
};

Deno.test("a download is stored when it matches, and its progress ends at the size", async () => {
  let last = 0;
  await served(() => new Response(body), async (url, folder) => {
    const path = join(folder, "f");
    assertEquals(await fromUrl(url, path, pin, (_, done) => void (last = done))(), E.right(path));
    assertEquals(Deno.readFileSync(path), body);
  });
  assertEquals(last, body.length);
});

const refused: Record<string, readonly [() => Response, string]> = {
  "an answer of 404": [() => new Response("no", { status: 404 }), "the server answered 404"],
  "a truncated body": [() => new Response(body.subarray(1)), "where"],
  "a body that is too long": [() => new Response(new Uint8Array([...body, 0])), "more than the expected"],
};
for (const [name, [respond, reason]] of Object.entries(refused)) {
  Deno.test(`${name} is one clear sentence and no file`, () =>
    served(respond, async (url, folder) => {
      const result = await fromUrl(url, join(folder, "f"), pin, () => {})();
      assert(E.isLeft(result));
      assertStringIncludes(showError(result.left), reason);
      assertEquals([...Deno.readDirSync(folder)], []);
    }));
}
