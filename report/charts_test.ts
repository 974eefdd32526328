import { assert, assertEquals, assertMatch } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { orThrow } from "../mod.ts";
import { barChart, heatMap, lineChart, svgOf } from "./mod.ts";

const line = {
  title: "NLL",
  x: { title: "kept", format: ".0%" },
  y: { title: "nats" },
  series: [
    { name: "a<b>&c", points: [{ x: 0.25, y: 1, low: 0.5, high: 1.5 }, { x: 1, y: 0 }] },
    { name: "plain", points: [{ x: 0.5, y: 2 }, { x: 1, y: NaN }] },
  ],
};
const map = { title: "Rows of heads", rows: "head", columns: "layer", value: { title: "share" }, cells: [[0, 0.5], [1, 0.25]] };

Deno.test("the same data gives the same bytes, whatever was drawn before", async () => {
  const first = [await orThrow(lineChart(line)), await orThrow(heatMap(map))];
  await orThrow(barChart({ title: "between", x: { title: "x" }, bars: [{ name: "b", value: 1 }] }));
  assertEquals([await orThrow(lineChart(line)), await orThrow(heatMap(map))], first);
});

Deno.test("names are text, never markup, and numbers that are not finite leave no trace", async () => {
  const svg = await orThrow(lineChart(line));
  assert(svg.includes("a&lt;b&gt;&amp;c") && !svg.includes("a<b>"));
  assert(!svg.includes("NaN") && !svg.includes("undefined"));
});

Deno.test("intervals are drawn where they are given, and only there", async () => {
  const whiskers = (svg: string): number => (svg.match(/aria-roledescription="rule mark"/g) ?? []).length;
  assertEquals(whiskers(await orThrow(lineChart(line))), 1);
  assertEquals(whiskers(await orThrow(barChart({ title: "t", x: { title: "x" }, bars: [{ name: "b", value: 1 }] }))), 0);
});

Deno.test("drawings of one page share no id, and every reference has its target", async () => {
  const [a, b] = [await orThrow(heatMap(map)), await orThrow(heatMap({ ...map, title: "Scores" }))];
  const ids = (svg: string): string[] => [...svg.matchAll(/ id="([^"]+)"/g)].map((found) => found[1] ?? "");
  assert(ids(a).length > 0 && ids(a).every((id) => !ids(b).includes(id)));
  for (const [, id] of a.matchAll(/url\(#([^)]+)\)/g)) assert(ids(a).includes(id ?? ""), id);
});

Deno.test("the background is left to the page", async () => {
  for (const svg of [await orThrow(lineChart(line)), await orThrow(heatMap(map))]) {
    assertMatch(svg, /^<svg[^>]*>\n<g/);
  }
});

Deno.test("nothing to draw and a specification that Vega refuses are errors that name the plot", async () => {
  for (
    const empty of [lineChart({ ...line, series: [] }), heatMap({ ...map, cells: [[NaN]] }), barChart({ title: "t", x: line.x, bars: [] })]
  ) {
    const drawn = await empty();
    assert(E.isLeft(drawn) && drawn.left._tag === "InvalidArgument");
  }
  const refused = await svgOf("broken", { data: { values: [{ x: 1 }] }, mark: "tick", transform: [{ filter: "][" }] })();
  assert(E.isLeft(refused) && refused.left._tag === "Unavailable" && refused.left.what.includes("broken"));
});
