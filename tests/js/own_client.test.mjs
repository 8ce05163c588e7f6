// Our own pages' client, static/weft/stream.js, over connections that break. tests/test_js_sdk.py runs this.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";

import { Client } from "@langchain/langgraph-sdk";
import WebSocket from "ws";

import { follow, watch } from "../../static/weft/stream.js";
import { proxied } from "./proxy.mjs";

const direct = new Client({ apiUrl: process.env.WEFT_URL, apiKey: null });
const HELLO =
  "Hello! That was message 1 of this thread. " +
  'Ask me "What is the weather in Paris?" or "What is 12 * 7?", or tell me your name.';
const input = { messages: [{ type: "human", content: "hi" }] };
const slow = { delay: 0.05 };
const socket = (url) => new WebSocket(url);
const closing = [];
after(() => closing.forEach((close) => close()));

async function between(settings = {}) {
  const proxy = Object.assign(await proxied(process.env.WEFT_URL), settings);
  closing.push(() => proxy.close());
  return proxy;
}

/** A chat run whose words come slowly. */
async function chatting() {
  const { thread_id } = await direct.threads.create();
  const { run_id } = await direct.runs.create(thread_id, "chat", {
    input,
    context: slow,
    streamMode: ["messages-tuple", "values"],
    streamResumable: true,
  });
  return { thread_id, run_id };
}

const spoken = (events) =>
  events
    .filter(({ event, data }) => event === "messages" && data[0].type === "AIMessageChunk")
    .map(({ data }) => data[0].content)
    .join("");

/** Resolves once `condition` holds. */
async function until(condition) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail("waited in vain");
}

describe("our own client", { concurrency: 3 }, () => {
  test("a run whose stream is cut twice is shown whole and once, to its end", async () => {
    const proxy = await between({ cuts: 2, after: 4000 });
    const { thread_id, run_id } = await chatting();
    const events = [];
    const up = [];
    let ended = 0;
    const { done } = follow(`/threads/${thread_id}/runs/${run_id}/stream`, {
      base: proxy.url,
      onEvent: (event) => events.push(event),
      onConnection: (state) => up.push(state),
      onEnd: () => (ended += 1),
    });
    await done;
    assert.equal(proxy.broken, 2);
    assert.equal(spoken(events), HELLO);
    assert.equal(new Set(events.map(({ id }) => id)).size, events.length);
    assert.deepEqual(up, [true, false, true, false, true]);
    assert.equal(ended, 1);
  });

  test("a thread is followed from run to run until stopped", async () => {
    const proxy = await between({ cuts: 1, after: 3000 });
    const { thread_id } = await chatting();
    const events = [];
    const following = follow(`/threads/${thread_id}/stream`, {
      base: proxy.url,
      onEvent: (event) => events.push(event),
    });
    const runsDone = () => events.filter(({ data }) => data.status === "run_done").length;
    await until(() => runsDone() === 1);
    await direct.runs.wait(thread_id, "chat", { input });
    await until(() => runsDone() === 2);
    following.stop();
    await following.done;
    assert.equal(new Set(events.map(({ id }) => id)).size, events.length);
  });

  test("what the server refuses is told and not asked for again", async () => {
    const proxy = await between();
    const refusals = [];
    const { done } = follow("/threads/no-uuid/runs/no-uuid/stream", {
      base: proxy.url,
      onEvent: () => assert.fail("an event"),
      onError: (status) => refusals.push(status),
    });
    await done;
    assert.deepEqual(refusals, [422]);
    assert.equal(proxy.requests.length, 1);
  });

  test("a watched thread's events come once and in order over sockets that break", async () => {
    const proxy = await between();
    const events = [];
    const ups = [];
    const connections = () => ups.filter(Boolean).length;
    const watching = watch(randomUUID(), {
      base: proxy.url,
      socket,
      channels: ["messages", "lifecycle"],
      onEvent: (event) => {
        events.push(event);
        if (events.length === 8) proxy.cut();
      },
      onConnection: (up) => {
        ups.push(up);
        if (up && connections() === 2) proxy.cut();
      },
    });
    await until(() => ups.length === 1);
    const { run_id } = await watching.command("run.start", { assistant_id: "chat", input, config: {} });
    await until(() => events.some(({ method, params }) => method === "lifecycle" && params.data.event === "completed"));
    await until(() => connections() === 3);
    watching.stop();
    await watching.done;
    const text = events
      .filter(({ params }) => params.data.event === "content-block-delta")
      .map(({ params }) => params.data.delta.text)
      .join("");
    assert.equal(text, HELLO);
    const numbers = events.map(({ seq }) => seq);
    assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
    assert.ok(events.some(({ event_id }) => event_id === `synth:${run_id}:lc||completed`));
  });

  test("a command the server refuses rejects with the protocol's code", async () => {
    const ups = [];
    const watching = watch(randomUUID(), {
      base: process.env.WEFT_URL,
      socket,
      onEvent: () => {},
      onConnection: (up) => ups.push(up),
    });
    await until(() => ups.length === 1);
    await assert.rejects(watching.command("run.start", {}), { code: "invalid_argument" });
    await assert.rejects(watching.command("no.such", {}), { code: "unknown_command" });
    watching.stop();
    await watching.done;
    await assert.rejects(watching.command("agent.getTree"), /not connected/);
  });
});
