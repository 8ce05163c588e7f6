// The classic client over connections that break: nothing is lost, nothing doubled. tests/test_js_sdk.py runs this.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { Client } from "@langchain/langgraph-sdk";

import { mounted } from "./page.mjs";
import { proxied } from "./proxy.mjs";

const { useStream } = await import("@langchain/langgraph-sdk/react");
const direct = new Client({ apiUrl: process.env.WEFT_URL, apiKey: null });
const HELLO =
  "Hello! That was message 1 of this thread. " +
  'Ask me "What is the weather in Paris?" or "What is 12 * 7?", or tell me your name.';
const input = { messages: [{ type: "human", content: "hi" }] };
const slow = { delay: 0.05 };
const proxies = [];
after(() => proxies.forEach((proxy) => proxy.close()));

async function between(settings = {}) {
  const proxy = Object.assign(await proxied(process.env.WEFT_URL), settings);
  proxies.push(proxy);
  return { proxy, client: new Client({ apiUrl: proxy.url, apiKey: null }) };
}

async function newThread() {
  return (await direct.threads.create()).thread_id;
}

/** The text of the assistant's message chunks, added up as they came, and every part. */
async function heard(parts) {
  const found = { text: "", parts: [] };
  for await (const part of parts) {
    found.parts.push(part);
    if (part.event === "messages" && part.data[0].type === "AIMessageChunk") found.text += part.data[0].content;
  }
  return found;
}

const joins = (proxy) => proxy.requests.filter(({ method, url }) => method === "GET" && url.includes("/stream"));

describe("connections that break", { concurrency: 4 }, () => {
  test("a resumable stream that is cut twice is heard whole and once", async () => {
    const { proxy, client } = await between({ cuts: 2, after: 4000 });
    const stream = client.runs.stream(await newThread(), "chat", {
      input,
      context: slow,
      streamMode: "messages-tuple",
      streamResumable: true,
    });
    const { text, parts } = await heard(stream);
    assert.equal(proxy.broken, 2);
    assert.equal(text, HELLO);
    assert.equal(joins(proxy).length, 2);
    for (const { headers } of joins(proxy)) assert.match(headers["last-event-id"], /^\d{13}-\d+$/);
    const ids = parts.map((part) => part.id);
    assert.equal(new Set(ids).size, ids.length);
  });

  test("a joined stream that is cut goes on where it was", async () => {
    const { proxy, client } = await between({ cuts: 1, after: 4000 });
    const threadId = await newThread();
    const run = await direct.runs.create(threadId, "chat", {
      input,
      context: slow,
      streamMode: ["messages-tuple", "values"],
      streamResumable: true,
    });
    const { text, parts } = await heard(client.runs.joinStream(threadId, run.run_id, { lastEventId: "-1" }));
    assert.equal(proxy.broken, 1);
    assert.equal(text, HELLO);
    assert.equal(parts[0].event, "metadata");
    assert.equal(parts.at(-1).data.messages[1].content, HELLO);
  });

  test("a stream that is not resumable loses what passed meanwhile, but ends", async () => {
    const { proxy, client } = await between({ cuts: 1, after: 4000 });
    const threadId = await newThread();
    const { text } = await heard(
      client.runs.stream(threadId, "chat", { input, context: slow, streamMode: "messages-tuple" }),
    );
    assert.equal(proxy.broken, 1);
    assert.ok(text.length < HELLO.length && HELLO.startsWith(text.slice(0, 5)));
    assert.equal((await direct.threads.getState(threadId)).values.messages[1].content, HELLO);
  });

  test("a stream that is not cut asks for nothing again", async () => {
    const { proxy, client } = await between();
    const threadId = await newThread();
    for (let n = 0; n < 20; n += 1) {
      for await (const part of client.runs.stream(threadId, "echo", { input: { text: `${n}` } })) assert.ok(part.data);
    }
    assert.deepEqual(joins(proxy), []);
  });

  test("a page whose connection is cut shows every word once", async () => {
    const { proxy, client } = await between({ cuts: 2, after: 6000 });
    const page = mounted(() => useStream({ client, assistantId: "chat", reconnectOnMount: true }));
    await page.until(() => true);
    page.now().submit(input, { context: slow });
    await page.until((stream) => stream.messages.length === 2);
    await page.settled();
    assert.equal(proxy.broken, 2);
    assert.deepEqual(page.lines(), ["hi", HELLO]);
    for (const [, line = ""] of page.shown) assert.ok(HELLO.startsWith(line), line);
    page.leave();
  });
});
