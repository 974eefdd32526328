import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { type Given, numberOf, oneOf, type Option, readOptions, whole, wholeOf, wholes } from "./options.ts";

const options: ReadonlyArray<Option> = [
  { name: "model", kind: "text", value: "MODEL", about: "" },
  { name: "policy", kind: "list", value: "POLICY", about: "" },
  { name: "json", kind: "flag", about: "" },
];
const given = (...argv: string[]): Given => {
  const result = readOptions(argv, options);
  assert(E.isRight(result), E.isLeft(result) ? showError(result.left) : "");
  return result.right;
};
const refused = (result: E.Either<Parameters<typeof showError>[0], unknown>): string => {
  assert(E.isLeft(result));
  return showError(result.left);
};

Deno.test("text, list and flag options are read, and absent ones are null, empty and false", () => {
  const all = given("--model", "m.gguf", "--policy", "a", "--json", "--policy=b");
  assertEquals([all.text("model"), all.list("policy"), all.flag("json")], ["m.gguf", ["a", "b"], true]);
  const none = given();
  assertEquals([none.text("model"), none.list("policy"), none.flag("json")], [null, [], false]);
});

Deno.test("an option or argument that the table lacks is refused with the list of options", () => {
  assertEquals(
    refused(readOptions(["--modle", "x"], options)),
    'argument --modle: found "--modle", allowed is one of --model, --policy, --json',
  );
  assertStringIncludes(refused(readOptions(["stray"], options)), "argument stray");
});

Deno.test("an option without its value is refused", () => {
  assertStringIncludes(refused(readOptions(["--model"], options)), "argument --model");
  assertStringIncludes(refused(readOptions(["--policy="], options)), "argument --policy");
});

Deno.test("numbers outside their range or with anything else in them are refused with the range", () => {
  for (const text of ["0", "5", "-1", "1.5", "1e1", " 2", "2x", "", "NaN", "99999999999999999999"]) {
    assertEquals(refused(wholeOf("--n", text, { from: 1, to: 4 })), `argument --n: found "${text}", allowed is a whole number from 1 to 4`);
  }
  for (const text of ["2.1", "-0.1", "nan", "Infinity", "1e999", "0x1", ""]) {
    assertStringIncludes(refused(numberOf("--t", text, { from: 0, to: 2 })), "a number from 0 to 2");
  }
  assertEquals(numberOf("--t", "7e-1", { from: 0, to: 2 }), E.right(0.7));
  assertEquals(whole(given(), "model", { from: 1, to: 4 }, 3), E.right(3));
});

Deno.test("a list of numbers is refused at its first wrong entry", () => {
  assertEquals(wholes("--tokens", "1, 2,3", { from: 0, to: 9 }), E.right([1, 2, 3]));
  assertStringIncludes(refused(wholes("--tokens", "1,,3", { from: 0, to: 9 })), 'found ""');
  assertStringIncludes(refused(wholes("--tokens", "1,12", { from: 0, to: 9 })), 'found "12"');
});

Deno.test("a word outside its list is refused with the list", () => {
  assertEquals(oneOf(given(), "model", ["f16", "f32"], "f16"), E.right("f16"));
  assertStringIncludes(refused(oneOf(given("--model", "f64"), "model", ["f16", "f32"], "f16")), "one of f16, f32");
});
