// A browser page without a browser: jsdom and the real react-dom. Import this before anything that imports React.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!doctype html><title>Weft</title>", { url: "http://localhost/" });
globalThis.window = window;
globalThis.document = window.document;
globalThis.navigator ??= window.navigator; // Node.js has one since 21
globalThis.WebSocket ??= window.WebSocket; // and this since 22
const { createElement, useEffect } = await import("react");
const { createRoot } = await import("react-dom/client");

const PATIENCE = 30_000; // milliseconds

/** Wait until `found()` is truthy and return it; `what` names it when it never is. */
export async function until(found, what) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const value = await found();
    if (value) return value;
    if (Date.now() > deadline) assert.fail(`never seen: ${typeof what === "function" ? what() : what}`);
    await sleep(10);
  }
}

/** A message's text, whether it is a string or blocks. */
export function textOf(message) {
  if (typeof message.content === "string") return message.content;
  return message.content.map((block) => block.text ?? "").join("");
}

/** A fetch whose connections all break when `cut()` is called, as a reload breaks them. */
export function breakable() {
  const page = new AbortController();
  const fetching = (url, init = {}) => {
    const signals = [page.signal, init.signal].filter(Boolean);
    return fetch(url, { ...init, signal: AbortSignal.any(signals) });
  };
  return { fetch: fetching, cut: () => page.abort() };
}

/** A fetch that listens in on the event streams it opens: `heard(text)` is how many of them have said it. */
export function overheard() {
  const streams = [];
  const fetching = async (url, init) => {
    const response = await fetch(url, init);
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
    const stream = { said: "" };
    streams.push(stream);
    const decoder = new TextDecoder();
    const listening = new TransformStream({
      transform(chunk, controller) {
        stream.said += decoder.decode(chunk, { stream: true });
        controller.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(listening), response);
  };
  return { fetch: fetching, heard: (text) => streams.filter(({ said }) => said.includes(text)).length };
}

/**
 * Render a chat over `useHook()` in a page. `now()` is what the hook returned for what is on the page, `lines()` the text
 * of the messages there, `shown` every list of lines there was.
 */
export function mounted(useHook) {
  const container = document.body.appendChild(document.createElement("main"));
  const root = createRoot(container);
  const shown = [];
  let latest;

  function Chat() {
    const stream = useHook();
    // React may render long before it mounts, and forgets what is submitted in between.
    useEffect(() => {
      latest = stream;
      shown.push(stream.messages.map(textOf));
    });
    const messages = stream.messages.map((message, index) =>
      createElement("li", { key: message.id ?? index, "data-type": message.type }, textOf(message)),
    );
    return createElement("ul", { "aria-busy": stream.isLoading }, messages);
  }

  root.render(createElement(Chat));
  const page = {
    shown,
    now: () => latest,
    lines: () => [...container.querySelectorAll("li")].map((item) => item.textContent),
    until: (predicate, what = predicate) =>
      until(
        () => latest && predicate(latest),
        () => `${what}; the page shows ${JSON.stringify(page.lines())}, ${latest?.error}`,
      ),
    settled: () => page.until((stream) => !stream.isLoading && !stream.isThreadLoading, "the run's end"),
    leave: () => {
      root.unmount();
      container.remove();
    },
  };
  return page;
}

/** Assert that line `index` only ever grew, on the way to `whole`, and arrived. */
export function grewTo(page, index, whole) {
  for (const lines of page.shown) {
    const line = lines[index] ?? "";
    assert.ok(whole.startsWith(line), `${JSON.stringify(line)} is no beginning of ${JSON.stringify(whole)}`);
  }
  assert.equal(page.lines()[index], whole);
}
