/**
 * What `deno install` puts on the path from a checkout: runs `main.ts` under the checkout's own `deno.json`, which an installed script does not see.
 * @module
 */
import { fileURLToPath } from "node:url";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

if (import.meta.main) {
  const args = ["run", "-A", "--config", path("../deno.json"), path("main.ts"), ...Deno.args];
  const child = new Deno.Command(Deno.execPath(), { args, stdin: "inherit", stdout: "inherit", stderr: "inherit" });
  Deno.exit((await child.output()).code);
}
