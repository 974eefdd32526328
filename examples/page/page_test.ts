import { assertEquals } from "@std/assert";
import { inductionModel } from "../../model/mod.ts";
import { orThrow } from "../../run/mod.ts";
import { keptOf, piecesOf } from "./read.ts";
import { columnMeans, levelOf, rowsByHead, shareByPosition } from "./shares.ts";
import { empty, type Event, isBusy, next, shownRun } from "./state.ts";

const kept = keptOf([Uint32Array.of(0, 3), Uint32Array.of(3), Uint32Array.of(1, 3)], 4);

Deno.test("kept rows by position and by head count the same rows", () => {
  assertEquals([...shareByPosition(kept)], [1 / 3, 1 / 3, 0, 1].map(Math.fround));
  assertEquals(rowsByHead(kept), [2, 1, 2]);
  // A share above 1, by rounding, would be no opacity: canvases ignore it.
  const whole = keptOf(Array.from({ length: 90 }, () => Uint32Array.of(0)), 1);
  assertEquals([...shareByPosition(whole)], [1]);
});

Deno.test("columns average what falls into them, and a line with fewer numbers than columns shows each number", () => {
  assertEquals([...columnMeans([1, 0, 1, 1, 0, 0], 3)], [0.5, 1, 0]);
  assertEquals([...columnMeans([1, 0], 4)], [1, 1, 0, 0]);
  assertEquals([0, 0.01, 0.2, 0.21, 0.8, 0.81, 1].map(levelOf), [0, 1, 1, 2, 4, 5, 5]);
});

Deno.test("the pieces of a text are the text, also where a character is two tokens", async () => {
  const tokenizer = await orThrow(inductionModel().tokenizer());
  assertEquals(piecesOf(tokenizer, tokenizer.encode("né")), ["n", "", "é"]);
});

Deno.test("a run goes from waiting to done, and a model that fails to open ends what waited for it", () => {
  const events: ReadonlyArray<Event> = [
    { _tag: "Opening" },
    { _tag: "Asked", task: "a", beside: false, runs: [{ id: 1, policy: "keepall" }, { id: 2, policy: "h2o" }] },
    { _tag: "Started", run: 1, pieces: ["x"] },
    { _tag: "Kept", run: 1, kept },
    { _tag: "Answering", run: 1, text: "y", tokensPerSecond: null },
    { _tag: "Finished", run: 1 },
  ];
  const page = events.reduce(next, empty);
  assertEquals(page.runs.map(({ phase, answer }) => [phase, answer]), [["done", "y"], ["waiting", ""]]);
  assertEquals([shownRun(page)?.kept, isBusy(page)], [kept, true]);
  const failed = next(page, { _tag: "Failed", run: null, sentence: "no", gone: true });
  assertEquals([failed.runs.map(({ id }) => id), failed.problem, isBusy(failed)], [[1], "no", false]);
});

Deno.test("another task starts a new list, the same task goes on with it", () => {
  const asked = (id: number, beside: boolean): Event => ({ _tag: "Asked", task: "t", beside, runs: [{ id, policy: `p${id}` }] });
  const beside = [asked(1, false), asked(2, true)].reduce(next, empty);
  assertEquals(beside.runs.map(({ id }) => id), [1, 2]);
  assertEquals(next(beside, asked(3, false)).runs.map(({ id }) => id), [3]);
});
