// Follows runs and threads in a page: over server-sent events and over the event-streaming WebSocket.
//
// Reconnects where it stopped, so that nothing is shown twice and nothing is left out; where the server says that events
// are lost it tells its owner to read the state anew. An ES module without dependencies.

const FIRST_PAUSE = 500; // milliseconds, doubled up to the longest
const LONGEST_PAUSE = 10_000;
export const SILENCE = 20_000; // the server's heartbeat comes every 5 s; a connection that says nothing for so long is dead
const REFUSED = new Set([400, 401, 403, 404, 405, 422]); // asking again would change nothing

/** A stop button for everything below: `stop()` ends it, `done` resolves once it has ended. */
function started(work) {
  const stopping = new AbortController();
  return { stop: () => stopping.abort(), done: work(stopping.signal) };
}

/** Wait, but not beyond the signal; while the page is hidden, until it is seen again. */
async function rest(milliseconds, signal) {
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
  const page = globalThis.document;
  while (page?.hidden && !signal.aborted) {
    await new Promise((resolve) => {
      page.addEventListener("visibilitychange", resolve, { once: true });
      signal.addEventListener("abort", resolve, { once: true });
    });
  }
}

/** Connect again and again until `once` answers true. `once(signal, connected)` calls `connected` when it is through. */
async function again(once, signal, onConnection) {
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    const connected = () => {
      pause = FIRST_PAUSE;
      onConnection?.(true);
    };
    if (await once(signal, connected)) return;
    onConnection?.(false);
    await rest(pause * (0.75 + Math.random() / 2), signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

/**
 * Follow a run to its end, from its beginning, or a thread until stopped: `path` is `/threads/{id}/runs/{id}/stream` or
 * `/threads/{id}/stream`.
 *
 * `onEvent({event, data, id})` gets each event once. `onConnection(up)` hears of connections made and lost, `onEnd()` that
 * the server has closed the stream, `onError(status)` that it refuses it. Returns `{stop, done}`.
 */
export function follow(path, { base = "", headers = {}, onEvent, onConnection, onEnd, onError }) {
  const isRun = /\/runs\/[^/]+\/stream$/.test(path);
  let last = isRun ? "-1" : "-";
  const once = async (signal, connected) => {
    const silent = new AbortController();
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE);
    };
    signal.addEventListener("abort", () => silent.abort(), { once: true });
    heard();
    try {
      const sent = { Accept: "text/event-stream", ...headers, "Last-Event-ID": last };
      const answer = await fetch(base + path, { headers: sent, signal: silent.signal });
      if (!answer.ok) {
        if (!REFUSED.has(answer.status)) return false;
        onError?.(answer.status);
        return true;
      }
      connected();
      for await (const { event, data, id } of frames(answer.body, heard)) {
        last = id || last;
        onEvent({ event, data: JSON.parse(data), id });
      }
      onEnd?.();
      return true; // a whole answer: the server has said all there is
    } catch (error) {
      if (error instanceof SyntaxError) throw error;
      return signal.aborted;
    } finally {
      clearTimeout(timer);
    }
  };
  return started((signal) => again(once, signal, onConnection));
}

/** The events of a body of server-sent events; `heard` is called for whatever comes, heartbeats included. */
export async function* frames(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (rest + value).split("\r\n\r\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = { event: "message", data: "", id: "" };
      for (const line of block.split("\r\n")) {
        const at = line.indexOf(": ");
        if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
      }
      if (fields.data) yield fields;
    }
  }
}

/**
 * Watch a thread over the event-streaming WebSocket until stopped.
 *
 * `channels`, `namespaces` and `depth` say what is shown, as the protocol has them. `onEvent(event)` gets each event once,
 * in order. `onGap()` is called where events are lost for good: read the thread's state anew. `socket(url)` makes the
 * connection. Returns `{stop, done, command}`; `command(method, params)` resolves with the result or rejects with the
 * protocol's error.
 */
export function watch(threadId, options) {
  const { base = globalThis.location?.origin, socket = (url) => new WebSocket(url), onEvent, onGap } = options;
  const { channels = ["values", "lifecycle", "input"], namespaces, depth, onConnection, onError } = options;
  const url = `${base.replace(/^http/, "ws")}/threads/${encodeURIComponent(threadId)}/stream/events`;
  const waiting = new Map(); // command id to what settles its promise
  let seen = null; // the number of the last event shown; null before the first subscription
  let number = 0;
  let connection = null;

  const command = (method, params = {}) =>
    new Promise((resolve, reject) => {
      if (connection?.readyState !== 1) return reject(new Error("not connected"));
      number += 1;
      waiting.set(number, { resolve, reject });
      connection.send(JSON.stringify({ id: number, method, params }));
    });

  const subscribe = async () => {
    const wanted = { channels, namespaces, depth };
    if (seen === null) {
      await command("subscription.subscribe", wanted);
      seen ??= 0;
      return;
    }
    try {
      await command("subscription.reconnect", { ...wanted, since: seen });
    } catch (error) {
      if (error.code !== "resume_gap") throw error;
      onGap?.();
      await command("subscription.subscribe", wanted);
    }
  };

  const take = (message) => {
    if (message.type === "event") {
      if (message.seq <= (seen ?? 0)) return;
      seen = message.seq;
      onEvent(message);
      return;
    }
    const { resolve, reject } = waiting.get(message.id) ?? {};
    waiting.delete(message.id);
    if (message.type === "success") resolve?.(message.result);
    else reject?.(Object.assign(new Error(message.message), { code: message.error }));
  };

  const once = (signal, connected) =>
    new Promise((resolve) => {
      const made = (connection = socket(url));
      const stop = () => made.close();
      signal.addEventListener("abort", stop, { once: true });
      made.onopen = () => subscribe().then(connected, () => made.close());
      made.onmessage = ({ data }) => take(JSON.parse(data));
      made.onerror = () => {};
      made.onclose = ({ code }) => {
        signal.removeEventListener("abort", stop);
        for (const { reject } of waiting.values()) reject(new Error("the connection was lost"));
        waiting.clear();
        const refused = code >= 4400 && code < 4500 && code !== 4408 && code !== 4429;
        if (refused) onError?.(code - 4000);
        resolve(refused || signal.aborted);
      };
    });

  return { ...started((signal) => again(once, signal, onConnection)), command };
}
