import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { parsePolicy } from "../papers/mod.ts";

/** Canonical text, or the error as a person reads it. */
const shown = (source: string): string => {
  const parsed = parsePolicy(source);
  return E.isRight(parsed) ? parsed.right.text : showError(parsed.left);
};

const canonical: ReadonlyArray<readonly [string, string]> = [
  ["keepall", "keepall"],
  ["keepall + knorm(256) + keepall", "knorm(256)"],
  ["keepall|streaming", "keepall"],
  ["snapkv", "snapkv(1024)"],
  ["snapkv(rows=256)|ada(0.2)", "snapkv(256)|ada(20%)"],
  ["snapkv(share=1/4, window=32, kernel=7)", "snapkv(25%)"],
  ["snapkv( 25% , 16, pool = mean )", "snapkv(25%, window=16, pool=mean)"],
  ["tova(0.125)", "tova(1/8)"],
  ["tova(12.5%)", "tova(1/8)"],
  ["tova(1)", "tova(1)"],
  ["tova(1.0)", "tova(100%)"],
  ["knorm|ada(0)", "knorm(50%)|ada(0)"],
  ["knorm(2)+(tova(3)+keydiff(4))", "knorm(2)+tova(3)+keydiff(4)"],
  ["(knorm(2)+tova(3))|streaming+h2o", "(knorm(2)+tova(3))|streaming+h2o(20%)"],
  ["((knorm(2)))|streaming|streaming", "knorm(2)|streaming"],
  ["knorm(2)|layers(2..)|layers(..)", "knorm(2)|layers(2..)|layers(..)"],
  ["knorm(2)|layers([3, 1])", "knorm(2)|layers([3, 1])"],
  ["knorm(2)|layers(-4..-1)", "knorm(2)|layers(-4..-1)"],
  ["knorm(2)|layers(7)", "knorm(2)|layers([7])"],
  ["knorm(2)|decoding|every(16)", "knorm(2)|decoding|every(16)"],
  ["knorm(2)|at(every:8)", "knorm(2)|at(every:8)"],
  ["knorm(2)|perlayer([8, 25%])", "knorm(2)|perlayer([8, 25%])"],
  ["h2o(64, recent=1/3)|protect(2, recent=10%)", "h2o(64, recent=1/3)|protect(2, recent=10%)"],
];

for (const [source, text] of canonical) {
  Deno.test(`"${source}" prints as "${text}", which reads back as the same policy`, () => {
    assertEquals(shown(source), text);
    assertEquals(parsePolicy(text), parsePolicy(source));
  });
}

const wrong: ReadonlyArray<readonly [string, number, string]> = [
  ["", 1, 'found "the end"'],
  ["knorm +", 8, 'found "the end"'],
  ["snapvk(256)", 1, 'did you mean "snapkv"?'],
  ["knorm(256)|steaming", 12, 'did you mean "streaming"?'],
  ["snapkv(256, windw=3)", 13, 'did you mean "window"?'],
  ["snapkv(256", 11, 'allowed is "," or ")"'],
  ["knorm(0)", 7, "a whole number of rows from 1 to 16777216"],
  ["knorm(-3)", 7, "a whole number of rows from 1 to 16777216"],
  ["knorm(0%)", 7, "a share such as 25%"],
  ["knorm(101%)", 7, "a share such as 25%"],
  ["knorm(1/0)", 7, "a share such as 25%"],
  ["knorm(1e3)", 7, "a whole number"],
  ["knorm([1,2])", 7, "a whole number"],
  ["snapkv(256, kernel=4)", 20, "an odd number from 1 to 1023"],
  ["snapkv(16, window=32)", 1, "at most the budget of 16 rows"],
  ["knorm(9)|protect(10)", 10, "at most the budget of 9 rows"],
  ["knorm(9)|at(build)", 10, 'found "Evict at build"'],
  ["knorm(9)+ada(20%)", 10, '"ada" goes after a bar'],
  ["knorm(9)|tova(3)", 10, '"tova" joins with +'],
  ["knorm(rows=9, 3)", 15, "positional arguments come first"],
  ["knorm(rows=9, share=25%)", 15, "each argument once"],
  ["knorm(9, yes, 3)", 15, "at most 2 arguments"],
  ["knorm(9)|streaming(3)", 20, "no argument"],
  ["knorm(9)|layers(4..2)", 10, "a range that holds one layer at least"],
  ["knorm(9)|layers([])", 10, "one layer at least"],
  ["knorm(9) tova(3)", 10, '"+", "|" or the end'],
  ["knorm(9)\u0000", 9, '"+", "|" or the end'],
  ["__proto__", 1, "the name of a policy"],
  ["constructor", 1, "one of keepall"],
  ["(".repeat(17) + "knorm" + ")".repeat(17), 17, "at most 16 brackets"],
  [" ".repeat(4097), 4096, "at most 4096"],
  ["knorm+".repeat(600) + "knorm", 1, "1 to 4096 characters"],
];

for (const [source, column, says] of wrong) {
  const name = source.length > 40 ? `${source.slice(0, 37)}...` : source;
  Deno.test(`${JSON.stringify(name)} is an error at column ${column} that says: ${says}`, () => {
    const parsed = parsePolicy(source);
    assert(E.isLeft(parsed) && parsed.left._tag === "InvalidPolicy");
    assertEquals(parsed.left.column, column);
    const [head = ""] = showError(parsed.left).split("\n");
    assert(head.includes(says), head);
  });
}

Deno.test("the caret of an error stands under the column", () => {
  assertEquals(
    shown("knorm(256)|steaming").split("\n").slice(1),
    ["  knorm(256)|steaming", "             ^"],
  );
});

Deno.test("a bar binds tighter than a plus, brackets group", () => {
  const moments = (source: string) => {
    const parsed = parsePolicy(source);
    return E.isRight(parsed) ? parsed.right.blocks.map((b) => b.moment._tag) : [];
  };
  assertEquals(moments("knorm+keydiff|streaming"), ["PrefillEnd", "Append"]);
  assertEquals(moments("(knorm+keydiff)|streaming"), ["Append", "Append"]);
});
