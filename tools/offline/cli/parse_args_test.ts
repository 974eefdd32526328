import { assertEquals } from "@std/assert";
import { parseArgs } from "./parse_args.ts";

Deno.test("string options take the next argument or what follows =, and keep numbers as text", () => {
  assertEquals(parseArgs(["--a", "1", "--b=2=3"], { string: ["a", "b"] }), { _: [], a: "1", b: "2=3" });
});

Deno.test("boolean options take no value and default to false", () => {
  assertEquals(parseArgs(["--json", "x"], { boolean: ["json", "help"] }), { _: ["x"], json: true, help: false });
});

Deno.test("a collected option is a list, empty when it is absent", () => {
  const options = { string: ["policy", "tag"], collect: ["policy", "tag"] };
  assertEquals(parseArgs(["--policy", "a", "--policy=b"], options), { _: [], policy: ["a", "b"], tag: [] });
});

Deno.test("an alias fills every spelling", () => {
  assertEquals(parseArgs(["-m", "x"], { string: ["model"], alias: { model: "m" } }), { _: [], model: "x", m: "x" });
  assertEquals(parseArgs(["-h"], { boolean: ["help"], alias: { help: "h" } }), { _: [], help: true, h: true });
});

Deno.test("a negatable option is turned off by --no-name", () => {
  assertEquals(parseArgs(["--no-chat"], { boolean: ["chat"], negatable: ["chat"], default: { chat: true } }), { _: [], chat: false });
  assertEquals(parseArgs([], { boolean: ["chat"], negatable: ["chat"], default: { chat: true } }), { _: [], chat: true });
});

Deno.test("unknown sees undeclared options and positionals, and false leaves them out", () => {
  const seen: string[] = [];
  const unknown = (arg: string) => {
    seen.push(arg);
    return false;
  };
  assertEquals(parseArgs(["--bogus", "--json", "x"], { boolean: ["json"], unknown }), { _: [], json: true });
  assertEquals(seen, ["--bogus", "x"]);
});

Deno.test("-- ends the options, and '--': true keeps the rest apart", () => {
  assertEquals(parseArgs(["--", "--json"], { boolean: ["json"] }), { _: ["--json"], json: false });
  assertEquals(parseArgs(["a", "--", "--json"], { boolean: ["json"], "--": true }), { _: ["a"], "--": ["--json"], json: false });
});

Deno.test("positionals that look like numbers are numbers unless _ is declared a string", () => {
  assertEquals(parseArgs(["1.5", "x"])._, [1.5, "x"]);
  assertEquals(parseArgs(["1.5"], { string: ["_"] })._, ["1.5"]);
});
