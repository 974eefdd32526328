/**
 * `kvfold eval` as a stranger meets it, on the embedded model.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { folder, induction, kvfold, written } from "./support/command_line.ts";

const smoke = (...more: ReadonlyArray<string>) =>
  kvfold("eval", ...induction, "--threads", "1", "--tasks", "T2", "--tokens", "150", "--items", "2", "--budgets", "25", ...more);

/** Records without the one number that is a time. */
const records = async (out: string): Promise<ReadonlyArray<string>> =>
  (await Deno.readTextFile(join(out, "runs.jsonl"))).split("\n").map((line) => line.replace(/"ms":[\d.e-]+/, ""));

Deno.test("eval writes a report that needs nothing beside it, and a run that was cut off goes on to the same numbers", async () => {
  const out = join(folder, "report");
  const { code, out: text, err } = await smoke("--policies", "knorm(@)", "tova(@, decode=no)", "--out", out);
  assertEquals({ code, err }, { code: 0, err: "" });
  assertStringIncludes(text, "knorm");
  const page = await Deno.readTextFile(join(out, "report.html"));
  for (const part of ["T2", "tova", "<svg", "What is kept of a text"]) assertStringIncludes(page, part);
  assert(!/(src|href)="(?!#)/.test(page), "the page refers to something outside");
  assert(!/NaN|undefined/.test(page + await Deno.readTextFile(join(out, "report.md"))));
  const whole = await records(out);
  await Deno.writeTextFile(join(out, "runs.jsonl"), (await Deno.readTextFile(join(out, "runs.jsonl"))).slice(0, -700));
  assertEquals((await smoke("--policies", "knorm(@)", "tova(@, decode=no)", "--out", out)).code, 0);
  assertEquals((await records(out)).toSorted(), whole.toSorted());
  assertStringIncludes((await smoke("--seed", "2", "--out", out)).err, "--out");
});

Deno.test("eval does not write where another evaluation is writing", async () => {
  const out = join(folder, "busy");
  await Deno.mkdir(out);
  using other = await Deno.open(join(out, "runs.jsonl"), { write: true, create: true });
  await other.lock(true);
  const { code, err } = await smoke("--out", out);
  assertEquals([code, err.trim().split("\n").length], [1, 1]);
  assertStringIncludes(err, "another evaluation is running");
  assertEquals((await Deno.stat(join(out, "runs.jsonl"))).size, 0);
});

Deno.test("eval refuses what cannot be evaluated, in one sentence, and writes nothing", async () => {
  const file = written("taken", "x");
  const few = join(folder, "few");
  await Deno.mkdir(few);
  await Deno.writeTextFile(join(few, "a.txt"), "too short");
  const none = join(folder, "none");
  await Deno.mkdir(none);
  const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
    [["--out", file], "--out"],
    [["--out", join(file, "inside")], "inside"],
    [["--out", join(folder, "o1"), "--tasks", "T4"], "--tasks"],
    [["--out", join(folder, "o1"), "--budgets", "0%"], "--budgets"],
    [["--out", join(folder, "o1"), "--items", "1"], "--items"],
    [["--out", join(folder, "o1"), "--scored", "1"], "--scored"],
    [["--out", join(folder, "o1"), "--documents", few], "corpus"],
    [["--out", join(folder, "o1"), "--documents", none], "--documents"],
    [["--out", join(folder, "o1"), "--documents", join(folder, "absent")], "absent"],
    [[], "--out"],
  ];
  for (const [args, word] of cases) {
    const { code, out, err } = await smoke(...args);
    assertEquals([code, out], [1, ""], args.join(" "));
    assert(err.startsWith("kvfold: ") && err.includes(word) && err.trim().split("\n").length === 1, err);
  }
  assertEquals(await Deno.readTextFile(file), "x");
});
