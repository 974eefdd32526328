import { assertEquals } from "@std/assert";
import { checkImports, importsOf } from "./check_imports.ts";

const edges = (path: string, source: string): ReadonlyArray<string> => checkImports([{ path, source }]).map((o) => o.to);

Deno.test("a paper may import policies only", () => {
  assertEquals(edges("papers/x.ts", 'import { a } from "../policy/mod.ts";\nimport { b } from "./y.ts";'), []);
  assertEquals(edges("papers/x.ts", 'import { a } from "../cache/types.ts";'), ["./cache/types.ts"]);
  assertEquals(edges("papers/x.ts", 'import { pipe } from "fp-ts/function.js";'), ["fp-ts/function.js"]);
});

Deno.test("a backend may import contracts but no other backend, policy or plan", () => {
  assertEquals(edges("backends/wasm/mod.ts", 'import type { A } from "../ops.ts";\nimport type { B } from "../../cache/types.ts";'), []);
  assertEquals(edges("backends/wasm/mod.ts", 'export { a } from "../reference/mod.ts";'), ["./backends/reference/mod.ts"]);
  assertEquals(edges("backends/reference/a/b.ts", 'import { a } from "../../../plan/mod.ts";'), ["./plan/mod.ts"]);
  assertEquals(edges("backends/ops.ts", 'import "./wasm/mod.ts";'), ["./backends/wasm/mod.ts"]);
});

Deno.test("dynamic imports, multi-line imports and worker URLs count; comments and tests do not", () => {
  assertEquals(importsOf('import {\n  a,\n  b,\n} from "../x.ts";\nawait import("./y.ts");\nnew URL("./w.ts", import.meta.url);'), [
    "../x.ts",
    "./y.ts",
    "./w.ts",
  ]);
  assertEquals(importsOf('/**\n * import { a } from "../x.ts";\n */\n// import "./y.ts";\nconst s = 1;'), []);
  assertEquals(edges("cache/x_test.ts", 'import { a } from "../run/mod.ts";'), []);
});

Deno.test("an import that leaves the repository is an offence", () => {
  assertEquals(edges("cache/x.ts", 'import { a } from "../../y.ts";'), ["../y.ts"]);
});
