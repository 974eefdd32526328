/**
 * Runs `deno doc --lint` on every entry point. Types of fp-ts in signatures are public by fp-ts, which `deno doc` cannot know, so remarks
 * about those alone are left out.
 * @module
 */

const FOREIGN = ["Either", "Left", "Right", "IO", "IOEither", "Task", "TaskEither", "Option", "None", "Some", "Monoid", "Eq"];

/** The remarks of `deno doc --lint` that are ours to mend: text, and the place behind `-->`. */
export function remarksIn(output: string): ReadonlyArray<string> {
  const found = [...output.matchAll(/^error\[[\w-]+\]: (.*)\n\s*--> (.*)$/gm)];
  const foreign = (text: string, place: string): boolean =>
    place.includes("/fp-ts/") || FOREIGN.some((type) => text.endsWith(`references private type '${type}'`));
  return found.flatMap(([, text = "", place = ""]) => foreign(text, place) ? [] : [`${place}: ${text}`]);
}

if (import.meta.main) {
  const root = new URL("..", import.meta.url);
  const config: { exports: Record<string, string> } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const args = ["doc", "--lint", ...Object.values(config.exports)];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: root, env: { NO_COLOR: "1" }, stdout: "null" }).output();
  const output = new TextDecoder().decode(stderr);
  const remarks = remarksIn(output);
  remarks.forEach((remark) => console.error(remark));
  // A failure that gave no remark at all is one of `deno doc` itself.
  const broken = !success && !output.includes("error[");
  if (broken) console.error(output);
  Deno.exit(remarks.length > 0 || broken ? 1 : 0);
}
