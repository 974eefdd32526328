/**
 * `kvfold logits`: what a model says follows a few tokens, for comparison with other programs.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { prefill } from "../../model/session.ts";
import { keepAll } from "../../papers/mod.ts";
import type { Command } from "../command.ts";
import { RUNNING, withModel } from "../models.ts";
import { all, MANY, required, wholes } from "../options.ts";
import { CHUNK, chunkOf, CODEC, dtypeOf, MODEL } from "../shared.ts";

/** The command. */
export const logits: Command = {
  name: "logits",
  summary: "prints the logits after a list of token ids",
  about: "Reads the tokens with the full cache and prints the logits of the last position, one number per token of the vocabulary.",
  options: [
    MODEL,
    { name: "tokens", kind: "text", value: "IDS", about: "token ids with commas between them" },
    { ...CODEC, about: "how rows are stored (f32: the comparison should not be of codecs)" },
    CHUNK,
    ...RUNNING,
  ],
  examples: [{
    line: "logits --model SmolLM2-135M-Instruct --tokens 504,3575,282,4649,314 --json",
    does: 'prints {"logits": […]} for "The capital of France is"',
  }],
  run: (given, io) => async () => {
    const options = all({
      model: required(given, "model", MODEL.about),
      tokens: E.chain((text: string) => wholes("--tokens", text, { from: 0, to: MANY }))(
        required(given, "tokens", "ids with commas between them"),
      ),
      codec: dtypeOf(given, "f32"),
      chunk: chunkOf(given),
    });
    if (E.isLeft(options)) return options;
    const { model: name, tokens, codec, chunk } = options.right;
    const result = await withModel(given, io, name, (model) => prefill(model, keepAll, { codec, chunk })(tokens))();
    if (E.isLeft(result)) return result;
    const numbers = Array.from(result.right.logits);
    io.clear();
    io.out(given.flag("json") ? `${JSON.stringify({ logits: numbers })}\n` : numbers.map((x) => `${x}\n`).join(""));
    return E.right(undefined);
  },
};
