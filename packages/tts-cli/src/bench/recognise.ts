/** The program of a listening process: `recognise.js MODEL FILE…` prints the texts of the recordings as a JSON list. */
import { loadAsrModel } from "@voxquant/asr-model";

const [source, ...files] = process.argv.slice(2);
const model = await loadAsrModel(source!);
const texts: string[] = [];
for (const file of files) texts.push((await model.transcribe(file)).text);
await model.dispose();
process.stdout.write(JSON.stringify(texts), () => process.exit()); // an idle thread pool must not keep it alive
