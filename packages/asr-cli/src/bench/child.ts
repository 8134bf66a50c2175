/** The program of a measuring process: takes a job from its parent, reports, ends. */
import { measure } from "./measure.js";
import type { Job, Message } from "./measurement.js";

function send(message: Message): Promise<void> {
  return new Promise((resolve) => process.send!(message, () => resolve()));
}

process.once("message", (job: Job) => {
  void send({ kind: "started", pid: process.pid });
  measure(job, () => void send({ kind: "ready", at: performance.timeOrigin + performance.now() }))
    .then((outcome) => send({ kind: "done", outcome }))
    .catch(({ name, message }: Error) => send({ kind: "failed", name, message }))
    .finally(() => process.exit()); // an idle thread pool must not keep it alive
});
