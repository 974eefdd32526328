/**
 * Storing rows as coefficients: one decision for the whole cache, since a token is one row of numbers over many layers.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Policy } from "../policy/types.ts";
import { unsupported } from "./resolve.ts";
import type { Target, TransformPlan } from "./types.ts";

/** What the policy's last Transform says. Left for a part of the layers, and where the host has no transforms. */
export function codingOf({ blocks, text }: Policy, { transforms = false }: Target): E.Either<KvError, TransformPlan | null> {
  let found: TransformPlan | null = null;
  for (const [b, { layers, verbs }] of blocks.entries()) {
    for (const [v, verb] of verbs.entries()) {
      if (verb._tag !== "Transform") continue;
      if (layers._tag !== "All") {
        return unsupported(
          "Transform of some layers",
          `blocks[${b}].verbs[${v}]`,
          "a token is transformed over all layers; leave layers() out",
        );
      }
      const { ratio, sinks, recent } = verb;
      found = { ratio, sinks, recent };
    }
  }
  if (found === null || transforms) return E.right(found);
  const because = "kvfold train kvtc calibrates them for a model, and the model must be opened with them (--kvtc FILE)";
  return E.left({ _tag: "Unavailable", what: `what ${text} stores rows with, transforms of this model`, because });
}
