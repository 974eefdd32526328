import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { h2o, snapKv } from "../papers/mod.ts";
import { policyFromJson, policyToJson } from "./json.ts";

const source = JSON.stringify(policyToJson(h2o({ rows: 64, recent: 8 })));

/** The path of the fault of a text that was changed in one place. */
const faultOf = (from: string, to: string): string => {
  const changed = source.replace(from, to);
  assert(changed !== source, `"${from}" is not in ${source}`);
  const read = policyFromJson(JSON.parse(changed));
  return E.isLeft(read) && read.left._tag === "InvalidPolicy" ? read.left.path : "accepted";
};

Deno.test("the JSON of a policy is its data", () => {
  assertEquals(policyToJson(snapKv({ rows: 256 })), { ...snapKv({ rows: 256 }) });
});

Deno.test("changing the JSON does not change the policy it came from", () => {
  const policy = h2o({ rows: 64, recent: 8 });
  const json = policyToJson(policy);
  if (typeof json === "object" && json !== null && "blocks" in json && Array.isArray(json.blocks)) json.blocks.length = 0;
  assertEquals(policy, h2o({ rows: 64, recent: 8 }));
});

Deno.test("every fault is found where it is", () => {
  const cases: ReadonlyArray<readonly [string, string, string]> = [
    ['"_tag":"Policy"', '"_tag":"Polity"', "_tag"],
    ['"_tag":"Append"', '"_tag":"append"', "blocks[0].moment._tag"],
    ['"_tag":"Append"', '"_tag":"constructor"', "blocks[0].moment._tag"],
    ['"_tag":"Append"', '"_tag":"Append","steps":1', "blocks[0].moment"],
    ['"layers":{"_tag":"All"}', '"layers":{"_tag":"All"},"__proto__":{}', "blocks[0]"],
    ['"layers":{"_tag":"All"}', '"layers":[]', "blocks[0].layers._tag"],
    ['"layers":{"_tag":"All"},', "", "blocks[0].layers._tag"],
    ['"initial":0', '"initial":"0"', "blocks[0].verbs[0].initial"],
    ['"initial":0', '"initial":null', "blocks[0].verbs[0].initial"],
    ['"initial":0', '"initial":1', "blocks[1].verbs[0].score(Column).initial"],
    ['"name":"mass"', '"name":"toString"', "blocks[0].verbs[0].name"],
    ['"name":"mass"', '"name":"weight"', "blocks[1].verbs[0].score(Column).name"],
    ['"rows":64', '"rows":0', "blocks[1].verbs[0].budget.rows"],
    ['"rows":64', '"rows":7', "blocks[1].verbs[0].protect"],
    ['"rows":64', '"rows":64.5', "blocks[1].verbs[0].budget.rows"],
    ['"rows":64', '"rows":1e400', "blocks[1].verbs[0].budget.rows"],
    ['"floor":null', '"floor":{"numerator":1,"denominator":2}', "blocks[1].verbs[0].floor"],
    ['"by":"sum"', '"by":"product"', "blocks[0].verbs[0].by"],
    ['"text":"h2o(64, recent=8)"', '"text":""', "text"],
    ['"text":"h2o(64, recent=8)"', '"text":"\\u001b[31m"', "text"],
  ];
  assertEquals(cases.map(([from, to]) => faultOf(from, to)), cases.map(([, , path]) => path));
});

Deno.test("what is no object, too deep or too large is refused", () => {
  const deep = JSON.parse(`${"[".repeat(5000)}${"]".repeat(5000)}`);
  for (const value of [undefined, null, 0, "knorm", [], deep, { ...JSON.parse(source), blocks: new Array(2000).fill({}) }]) {
    const read = policyFromJson(value);
    assert(E.isLeft(read) && read.left._tag === "InvalidPolicy" && ["json", "blocks"].includes(read.left.path));
  }
});

Deno.test("objects without a prototype are plain objects, those of a class are not", () => {
  const bare = Object.assign(Object.create(null), JSON.parse(source));
  assertEquals(policyFromJson(bare), E.right(h2o({ rows: 64, recent: 8 })));
  assert(E.isLeft(policyFromJson(Object.assign(new Date(0), JSON.parse(source)))));
});
