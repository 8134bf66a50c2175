import { EventLoopBreak } from "./event-loop.js";

const { jest: sandbox } = import.meta as ImportMeta & { readonly jest: typeof jest };

describe("EventLoopBreak", () => {
  let now = 1000;
  const clock = sandbox.spyOn(performance, "now").mockImplementation(() => now);
  afterAll(() => clock.mockRestore());

  /** Whether a task that waits for the event loop ran before `pass` came back. */
  async function letsOthersRun(pause: EventLoopBreak): Promise<boolean> {
    let ran = false;
    const task = setImmediate(() => (ran = true));
    await pause.pass();
    clearImmediate(task);
    return ran;
  }

  it("gives the event loop a turn after a stretch of work, not at every pass", async () => {
    const pause = new EventLoopBreak();
    expect(await letsOthersRun(pause)).toBe(false);
    now += 50;
    expect(await letsOthersRun(pause)).toBe(true);
    expect(await letsOthersRun(pause)).toBe(false);
    now += 50;
    expect(await letsOthersRun(pause)).toBe(true);
  });

  it("gives it where there is no setImmediate, as in browsers", async () => {
    const pause = new EventLoopBreak();
    const { setImmediate: kept } = globalThis;
    Reflect.deleteProperty(globalThis, "setImmediate");
    try {
      let ran = false;
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        ran = true;
        port1.close();
      };
      port2.postMessage(null);
      now += 50;
      await pause.pass();
      expect(ran).toBe(true);
    } finally {
      globalThis.setImmediate = kept;
    }
  });

  it("throws the reason of an abort, also of one that comes during the turn", async () => {
    const abort = new AbortController();
    const pause = new EventLoopBreak(abort.signal);
    await pause.pass();
    const reason = new Error("stop");
    setImmediate(() => abort.abort(reason));
    now += 50;
    await expect(pause.pass()).rejects.toBe(reason);
    await expect(pause.pass()).rejects.toBe(reason);
  });
});
