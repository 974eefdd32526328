import { flags } from "./wasm_flags.ts";
console.log(flags(Deno.args[0] as any, "wasm-ld-19").join("\x1f"));
