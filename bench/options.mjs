// Options of the scripts in this folder.
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/**
 * Values of the script's options, as `parseArgs` of node:util takes them. `--help` prints the comment that the script begins
 * with; a wrong option is a line on stderr and exit code 2.
 */
export function readOptions(scriptUrl, options) {
  const script = fileURLToPath(scriptUrl);
  const name = relative(process.cwd(), script);
  let values;
  try {
    ({ values } = parseArgs({ options: { ...options, help: { type: "boolean", default: false } } }));
  } catch (error) {
    process.stderr.write(`${name}: ${error.message.split("\n")[0]}\nnode ${name} --help lists the options\n`);
    process.exit(2);
  }
  if (values.help) {
    const lines = readFileSync(script, "utf8").split("\n");
    const comment = lines.slice(
      0,
      lines.findIndex((line) => !line.startsWith("//")),
    );
    process.stdout.write(`${comment.map((line) => line.replace(/^\/\/ ?/, "")).join("\n")}\n`);
    process.exit(0);
  }
  return values;
}
