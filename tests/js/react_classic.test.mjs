// useStream of @langchain/langgraph-sdk/react, which speaks classic streams, in a page. tests/test_js_sdk.py runs this.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { breakable, grewTo, mounted, until } from "./page.mjs";

const { useStream } = await import("@langchain/langgraph-sdk/react");
const { Client } = await import("@langchain/langgraph-sdk");

const apiUrl = process.env.WEFT_URL;
const client = new Client({ apiUrl, apiKey: null });
const HELLO =
  "Hello! That was message 1 of this thread. " +
  'Ask me "What is the weather in Paris?" or "What is 12 * 7?", or tell me your name.';
const SECOND = HELLO.replace("message 1", "message 2");
const pages = [];
after(() => pages.forEach((page) => page.leave()));

/** A page with the hook; `options` as useStream takes them. */
function opened(assistantId, options = {}) {
  const page = mounted(() => useStream({ client, assistantId, ...options }));
  pages.push(page);
  return page;
}

const said = (content, id) => ({ messages: [{ type: "human", content, ...(id && { id }) }] });
const newThread = async () => (await client.threads.create()).thread_id;
const slow = { context: { delay: 0.05 } };
const checkpointBefore = (page, message) =>
  page.until((stream) => stream.getMessagesMetadata(message)?.firstSeenState?.parent_checkpoint);
const statusOf = async (threadId) => (await client.runs.list(threadId))[0]?.status;

describe("useStream over classic streams", { concurrency: 5 }, () => {
  test("two messages are sent, and their answers grow word by word", async () => {
    const page = opened("chat");
    await page.until(() => true);
    page.now().submit(said("hi"));
    await page.until((stream) => stream.messages.length === 2);
    await page.settled();
    page.now().submit(said("again"));
    await page.until((stream) => stream.messages.length === 4);
    await page.settled();
    assert.deepEqual(page.lines(), ["hi", HELLO, "again", SECOND]);
    grewTo(page, 1, HELLO);
    grewTo(page, 3, SECOND);
    assert.ok(new Set(page.shown.map((lines) => lines[1])).size > 5, "the answer came at once");
  });

  test("a question is put to a human, and answered", async () => {
    const page = opened("approval");
    await page.until(() => true);
    page.now().submit(said("Refund order 7"));
    await page.until((stream) => !stream.isLoading && stream.interrupt);
    assert.equal(page.now().interrupt.value.action_request.args.order, "7");
    page.now().submit(undefined, { command: { resume: { type: "accept" } } });
    await page.until((stream) => stream.messages.length === 2);
    await page.settled();
    assert.deepEqual(page.lines(), ["Refund order 7", "Refunded 25.0 EUR for order 7."]);
    assert.equal(page.now().interrupt, undefined);
  });

  test("a page that is reloaded shows the question that waits", async () => {
    const threadId = await newThread();
    await client.runs.wait(threadId, "approval", { input: said("Refund order 7") });
    const page = opened("approval", { threadId });
    await page.until((stream) => stream.interrupt);
    assert.equal(page.now().interrupt.value.action_request.action, "refund");
    page.now().submit(undefined, { command: { resume: { type: "ignore" } } });
    await page.until((stream) => stream.messages.length === 2);
    await page.settled();
    assert.equal(page.now().values.outcome.decision, "ignored");
  });

  test("a page that is reloaded while the answer is written loses no word and doubles none", async () => {
    const threadId = await newThread();
    const connection = breakable();
    const breaking = new Client({ apiUrl, apiKey: null, callerOptions: { fetch: connection.fetch } });
    const before = opened("chat", { threadId, client: breaking, reconnectOnMount: true });
    await before.until((stream) => !stream.isThreadLoading);
    before.now().submit(said("hi"), slow);
    await before.until((stream) => stream.messages[1]?.content.length > 20);
    before.leave();
    connection.cut();
    const page = opened("chat", { threadId, reconnectOnMount: true });
    await page.until((stream) => stream.messages.length === 2 && stream.isLoading);
    await page.settled();
    assert.deepEqual(page.lines(), ["hi", HELLO]);
    grewTo(page, 1, HELLO);
    assert.ok(new Set(page.shown.map((lines) => lines[1])).size > 5, "the page did not watch");
    assert.equal(window.sessionStorage.getItem(`lg:stream:${threadId}`), null);
    assert.equal((await client.runs.list(threadId)).length, 1);
  });

  for (const reconnectOnMount of [true, false]) {
    test(`stop ends the run, ${reconnectOnMount ? "by cancelling" : "by hanging up"}`, async () => {
      const threadId = await newThread();
      const page = opened("chat", { threadId, reconnectOnMount });
      await page.until((stream) => !stream.isThreadLoading);
      page.now().submit(said("hi"), { context: { delay: 0.3 } });
      await page.until((stream) => stream.messages[1]?.content.length > 5);
      await page.now().stop();
      await until(async () => (await statusOf(threadId)) === "interrupted", "the run's interruption");
      await page.settled();
      assert.equal(page.now().error, undefined);
      page.now().submit(said("again"));
      await page.until(({ isLoading, messages }) => !isLoading && messages.length > 2 && messages.at(-1).type === "ai");
      assert.equal((await client.threads.get(threadId)).status, "idle");
    });
  }

  test("a message is edited, and both branches stay", async () => {
    const page = opened("chat", { fetchStateHistory: true });
    await page.until(() => true);
    page.now().submit(said("my name is Ada"));
    await page.until((stream) => stream.messages.length === 2);
    await page.settled();
    const [first] = page.now().messages;
    const checkpoint = await checkpointBefore(page, first);
    page.now().submit(said("my name is Bob"), { checkpoint });
    await page.until((stream) => !stream.isLoading && stream.messages[1]?.content.includes("Bob"));
    assert.deepEqual(page.lines(), ["my name is Bob", "Your name is Bob."]);
    const metadata = await page.until((stream) => {
      const found = stream.getMessagesMetadata(stream.messages[0]);
      return found?.branchOptions?.length === 2 && found;
    });
    page.now().setBranch(metadata.branchOptions.find((option) => option !== metadata.branch));
    await page.until((stream) => stream.messages[0].content === "my name is Ada");
    assert.deepEqual(page.lines(), ["my name is Ada", "Your name is Ada."]);
  });

  test("an answer is written anew from the checkpoint before it", async () => {
    const page = opened("chat", { fetchStateHistory: true });
    await page.until(() => true);
    page.now().submit(said("hi"));
    await page.until((stream) => stream.messages.length === 2);
    await page.settled();
    const answer = page.now().messages[1];
    const checkpoint = await checkpointBefore(page, answer);
    page.now().submit(undefined, { checkpoint });
    await page.until((stream) => !stream.isLoading && stream.messages[1] && stream.messages[1].id !== answer.id);
    assert.deepEqual(page.lines(), ["hi", HELLO]);
  });

  test("tool calls are shown with their results", async () => {
    const page = opened("chat");
    await page.until((stream) => stream.toolCalls);
    page.now().submit(said("What is the weather in Paris, and what is 12 * 7?"));
    await page.until((stream) => stream.messages.length === 5);
    await page.settled();
    const calls = page.now().toolCalls;
    assert.deepEqual(calls.map((call) => [call.call.name, call.call.args]), [
      ["weather", { city: "Paris" }],
      ["calculator", { expression: "12 * 7" }],
    ]);
    assert.deepEqual(calls.map((call) => call.state), ["completed", "completed"]);
    assert.deepEqual(calls.map((call) => call.result.content), ["It is 18 °C and sunny in Paris.", "12 * 7 = 84"]);
    assert.equal(page.lines().at(-1), "It is 18 °C and sunny in Paris. 12 * 7 = 84");
    grewTo(page, 4, page.lines().at(-1));
  });

  test("what a subgraph says is shown while it says it, once", async () => {
    const page = opened("talker_inside");
    await page.until(() => true);
    page.now().submit(said("hi"), { streamSubgraphs: true });
    await page.until((stream) => stream.messages.length === 3);
    await page.settled();
    assert.deepEqual(page.lines(), ["hi", "Hello big world", "result for cats"]);
    grewTo(page, 1, "Hello big world");
  });

  test("a failure is shown, also after a reload", async () => {
    const threadId = await newThread();
    const failures = [];
    const page = opened("boom", { threadId, onError: (error) => failures.push(error) });
    await page.until((stream) => !stream.isThreadLoading);
    page.now().submit({ kind: "value" });
    await page.until((stream) => stream.error && !stream.isLoading);
    assert.deepEqual([page.now().error.name, page.now().error.message], ["ValueError", "kaboom"]);
    assert.equal(failures.length, 1);
    const reloaded = opened("boom", { threadId });
    const error = await reloaded.until((stream) => stream.error);
    assert.match(error.message ?? error, /kaboom/);
  });

  test("messages sent while an answer is written are answered in turn", async () => {
    const page = opened("chat", { threadId: await newThread() });
    await page.until((stream) => !stream.isThreadLoading);
    page.now().submit(said("hi"), slow);
    await page.until((stream) => stream.messages.length === 2);
    page.now().submit(said("again"));
    await page.until((stream) => !stream.isLoading && stream.messages.length === 4);
    assert.deepEqual(page.lines(), ["hi", HELLO, "again", SECOND]);
  });

  test("a run queued on the server is joined and shown", async () => {
    const threadId = await newThread();
    const page = opened("chat", { threadId });
    await page.until((stream) => !stream.isThreadLoading);
    page.now().submit(said("hi"), slow);
    await page.until((stream) => stream.messages.length === 2);
    const queued = await client.runs.create(threadId, "chat", {
      input: said("again"),
      multitaskStrategy: "enqueue",
      streamResumable: true,
      streamMode: ["values", "messages-tuple"],
    });
    await page.settled();
    page.now().joinStream(queued.run_id, "-1");
    await page.until((stream) => stream.messages.length === 4);
    await page.settled();
    assert.deepEqual(page.lines(), ["hi", HELLO, "again", SECOND]);
    grewTo(page, 3, SECOND);
  });

  test("interrupting an answer starts the next one at once", async () => {
    const threadId = await newThread();
    const page = opened("chat", { threadId });
    await page.until((stream) => !stream.isThreadLoading);
    page.now().submit(said("hi"), { context: { delay: 0.3 } });
    await page.until((stream) => stream.messages[1]?.content.length > 5);
    page.now().submit(said("my name is Ada"), { multitaskStrategy: "interrupt" });
    await page.until((stream) => !stream.isLoading && stream.messages.at(-1).content === "Your name is Ada.");
    const statuses = (await client.runs.list(threadId)).map((run) => run.status);
    assert.deepEqual(statuses, ["success", "interrupted"]);
  });

  test("two pages watch the same run", async () => {
    const threadId = await newThread();
    const writing = opened("chat", { threadId, reconnectOnMount: true });
    const watching = opened("chat", { threadId });
    await writing.until((stream) => !stream.isThreadLoading);
    writing.now().submit(said("hi"), slow);
    await writing.until((stream) => stream.messages[1]?.content.length > 20);
    const [run] = await client.runs.list(threadId);
    watching.now().joinStream(run.run_id, "-1");
    await watching.until((stream) => stream.messages.length === 2);
    await Promise.all([writing.settled(), watching.settled()]);
    for (const page of [writing, watching]) {
      assert.deepEqual(page.lines(), ["hi", HELLO]);
      grewTo(page, 1, HELLO);
    }
  });
});
