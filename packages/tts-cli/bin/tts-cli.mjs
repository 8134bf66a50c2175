#!/usr/bin/env node
import { existsSync } from "node:fs";

const main = new URL("../dist/main.js", import.meta.url);

if (existsSync(main)) {
  const { runAndExit } = await import(main.href);
  await runAndExit(process.argv.slice(2));
} else {
  process.stderr.write(
    "tts-cli is not built yet: run `npm run demo` or `npx pnpm build` in the repository first.\n",
  );
  process.exitCode = 1;
}
