// useStream of @langchain/react, which speaks event streaming, in a page. tests/test_js_sdk.py runs this file.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { breakable, grewTo, mounted, overheard, textOf, until } from "./page.mjs";
import { proxied } from "./proxy.mjs";

const { useMessageMetadata, useMessages, useStream, useSubmissionQueue } = await import("@langchain/react");
const { Client } = await import("@langchain/langgraph-sdk");

const apiUrl = process.env.WEFT_URL;
const client = new Client({ apiUrl, apiKey: null });
const HELLO =
  "Hello! That was message 1 of this thread. " +
  'Ask me "What is the weather in Paris?" or "What is 12 * 7?", or tell me your name.';
const SECOND = HELLO.replace("message 1", "message 2");
const said = (content) => ({ messages: [{ type: "human", content }] });
const pages = [];

after(() => pages.forEach((page) => page.leave()));

const newThread = async () => (await client.threads.create()).thread_id;
/** Let the graph "hesitant", which stops in the middle of its answers, go on with that to `asked`. */
const goOn = (threadId, asked) => client.store.putItem(["go on", threadId], asked, { now: true });
/** Whether the answer at `index` has begun, and its run goes on. */
const halfSaid = (index) => (stream) =>
  stream.isLoading && stream.messages[index] && textOf(stream.messages[index]).length > 5;

for (const transport of ["sse", "websocket"]) {
  /** A page with the hook; `more(stream)` are further hooks' results to show beside it. */
  const opened = (assistantId, options = {}, more = () => ({})) => {
    const page = mounted(() => {
      const stream = useStream({ apiUrl, apiKey: null, assistantId, transport, ...options });
      return { ...stream, ...more(stream) };
    });
    pages.push(page);
    return page;
  };

  describe(`useStream over event streaming by ${transport}`, { concurrency: 7 }, () => {
    test("two messages are sent, and their answers grow word by word", async () => {
      const page = opened("hesitant");
      await page.until(() => true);
      for (const [index, text] of [[1, "hi"], [3, "again"]]) {
        page.now().submit(said(text));
        await page.until(halfSaid(index));
        await goOn(page.now().threadId, text);
        await page.settled();
      }
      assert.deepEqual(page.lines(), ["hi", HELLO, "again", SECOND]);
      grewTo(page, 1, HELLO);
      grewTo(page, 3, SECOND);
      assert.equal((await client.runs.list(page.now().threadId)).length, 2);
    });

    test("a question is put to a human, and answered", async () => {
      const page = opened("approval");
      await page.until(() => true);
      page.now().submit(said("Refund order 7"));
      await page.until((stream) => !stream.isLoading && stream.interrupt);
      assert.equal(page.now().interrupt.value.action_request.args.order, "7");
      page.now().respond({ type: "accept" });
      await page.until((stream) => stream.messages.length === 2);
      await page.settled();
      assert.deepEqual(page.lines(), ["Refund order 7", "Refunded 25.0 EUR for order 7."]);
      await page.until((stream) => !stream.interrupt); // its other connection may tell the question late
    });

    test("several questions at once are answered at once", async () => {
      const page = opened("parallel_ask");
      await page.until(() => true);
      page.now().submit({ names: ["a", "b"] });
      await page.until((stream) => !stream.isLoading && stream.interrupts.length === 2);
      const { interrupts } = page.now();
      page.now().respondAll(Object.fromEntries(interrupts.map(({ id, value }) => [id, `for ${value.name}`])));
      await page.until((stream) => stream.values.answers?.length === 2);
      await page.settled();
      assert.deepEqual(page.now().values.answers, [{ a: "for a" }, { b: "for b" }]);
      await page.until((stream) => stream.interrupts.length === 0);
    });

    test("a page that is reloaded shows the question that waits", async () => {
      const threadId = await newThread();
      await client.runs.wait(threadId, "approval", { input: said("Refund order 7") });
      const page = opened("approval", { threadId });
      await page.until((stream) => stream.interrupt && stream.getThread().interrupts.length);
      page.now().respond({ type: "ignore" });
      await page.until((stream) => stream.messages.length === 2);
      await page.settled();
      assert.equal(page.now().values.outcome.decision, "ignored");
    });

    test("a page that is reloaded while the answer is written loses no word and doubles none", async () => {
      const connection = breakable();
      const leaving = opened("hesitant", { fetch: connection.fetch });
      await leaving.until(() => true);
      leaving.now().submit(said("hi"));
      await leaving.until(halfSaid(1));
      const { threadId } = leaving.now();
      leaving.leave();
      connection.cut();
      const page = opened("hesitant", { threadId });
      await page.until(halfSaid(1));
      assert.ok(page.lines()[1].length < HELLO.length, "the page came too late");
      await goOn(threadId, "hi");
      await page.settled();
      assert.deepEqual(page.lines(), ["hi", HELLO]);
      grewTo(page, 1, HELLO);
      assert.equal((await client.runs.list(threadId)).length, 1);
    });

    test("stop ends the run", async () => {
      const page = opened("hesitant");
      await page.until(() => true);
      page.now().submit(said("hi"));
      await page.until(halfSaid(1));
      const { threadId } = page.now();
      await page.now().stop();
      const status = async () => (await client.runs.list(threadId))[0].status;
      await until(async () => (await status()) === "interrupted", "the run's interruption");
      assert.equal(page.now().isLoading, false);
      assert.equal(page.now().error, undefined);
      await goOn(threadId, "my name is Ada");
      page.now().submit(said("my name is Ada"));
      // The half message stays on the page: this version of the client drops none it has begun to show.
      await page.until((stream) => !stream.isLoading && page.lines().includes("Your name is Ada."));
      assert.deepEqual(new Set(page.lines().slice(0, 2)), new Set(["hi", "my name is Ada"]));
    });

    test("a message is edited from the checkpoint before it", async () => {
      const before = []; // this version of the client knows the checkpoint while the message is its newest
      const page = opened("chat", {}, (stream) => {
        before.push(useMessageMetadata(stream, stream.messages[0]?.id)?.parentCheckpointId);
      });
      await page.until(() => true);
      page.now().submit(said("my name is Ada"));
      await page.until((stream) => stream.messages.length === 2);
      await page.settled();
      page.now().submit(said("my name is Bob"), { forkFrom: before.find(Boolean) });
      await page.until((stream) => !stream.isLoading && page.lines().at(-1) === "Your name is Bob.");
      const reloaded = opened("chat", { threadId: page.now().threadId });
      await reloaded.until((stream) => !stream.isThreadLoading && stream.messages.length);
      assert.deepEqual(reloaded.lines(), ["my name is Bob", "Your name is Bob."]);
    });

    test("tool calls are shown with their results", async () => {
      const page = opened("chat");
      await page.until(() => true);
      page.now().submit(said("What is the weather in Paris, and what is 12 * 7?"));
      await page.until((stream) => stream.messages.length === 5);
      await page.settled();
      assert.equal(page.lines().at(-1), "It is 18 °C and sunny in Paris. 12 * 7 = 84");
      assert.deepEqual(
        page.now().toolCalls.map(({ name, args, status }) => [name, args, status]),
        [
          ["weather", { city: "Paris" }, "finished"],
          ["calculator", { expression: "12 * 7" }, "finished"],
        ],
      );
    });

    test("a subgraph is found, and what it says is shown beside it", async () => {
      const inside = (stream) => [...stream.subgraphs.values()][0] ?? { namespace: ["none"] };
      const page = opened("hesitant_inside", {}, (stream) => ({ heard: useMessages(stream, inside(stream)) }));
      await page.until(() => true);
      page.now().submit(said("hi"));
      // This version of the client shows nothing of a subgraph it asks for while the run ends: let it ask in time.
      await page.until((stream) => stream.heard[1] && textOf(stream.heard[1]).length > 5);
      await goOn(page.now().threadId, "hi");
      await page.until((stream) => stream.heard[1] && textOf(stream.heard[1]) === HELLO);
      await page.settled();
      assert.deepEqual(page.now().heard.map(textOf), ["hi", HELLO]);
      assert.deepEqual(page.lines(), ["hi", HELLO]);
    });

    test("a failure is shown", async () => {
      const connections = overheard();
      const page = opened("boom", { fetch: connections.fetch });
      await page.until(() => true);
      page.now().submit({ kind: "value" });
      await page.until((stream) => stream.error && !stream.isLoading);
      assert.match(String(page.now().error.message ?? page.now().error), /kaboom/);
      // This version of the client follows a thread over two connections, and whichever tells of a run's end last would
      // end the run that comes next.
      if (transport === "sse") await until(() => connections.heard('"event":"failed"') === 2, "both ends");
      page.now().submit({ kind: "none" });
      await page.until((stream) => !stream.isLoading && stream.values.log?.at(-1) === "fine" && !stream.error);
    });

    test("messages sent while an answer is written are answered in turn", async () => {
      const page = opened("hesitant", {}, (stream) => ({ queue: useSubmissionQueue(stream) }));
      await page.until(() => true);
      page.now().submit(said("hi"));
      await page.until(halfSaid(1));
      page.now().submit(said("again"), { multitaskStrategy: "enqueue" });
      await page.until((stream) => stream.queue.size === 1);
      await Promise.all(["hi", "again"].map((text) => goOn(page.now().threadId, text)));
      await page.until((stream) => !stream.isLoading && stream.messages.length === 4);
      assert.deepEqual(page.lines(), ["hi", HELLO, "again", SECOND]);
      assert.equal(page.now().queue.size, 0);
    });

    test("interrupting an answer starts the next one", async () => {
      const page = opened("hesitant");
      await page.until(() => true);
      page.now().submit(said("hi"));
      await page.until(halfSaid(1));
      await goOn(page.now().threadId, "my name is Ada");
      page.now().submit(said("my name is Ada"), { multitaskStrategy: "interrupt" });
      await page.until((stream) => !stream.isLoading && page.lines().includes("Your name is Ada."));
      const statuses = async () => (await client.runs.list(page.now().threadId)).map((run) => run.status).join();
      await until(async () => (await statuses()) === "success,interrupted", "both runs' ends");
    });

    test("two pages watch the same run", async () => {
      const writing = opened("hesitant");
      await writing.until(() => true);
      writing.now().submit(said("hi"));
      await writing.until(halfSaid(1));
      const { threadId } = writing.now();
      const watching = opened("hesitant", { threadId });
      await watching.until(halfSaid(1));
      await goOn(threadId, "hi");
      await Promise.all([writing.settled(), watching.settled()]);
      for (const page of [writing, watching]) {
        assert.deepEqual(page.lines(), ["hi", HELLO]);
        grewTo(page, 1, HELLO);
      }
    });

    test("a page whose connections are cut shows every word once, though the run ends meanwhile", async () => {
      const proxy = await proxied(apiUrl);
      const page = opened("hesitant", { apiUrl: proxy.url });
      await page.until(() => true);
      page.now().submit(said("hi"));
      await page.until(halfSaid(1));
      const { threadId } = page.now();
      // The client gives a WebSocket up that breaks again before it has subscribed anew.
      if (transport === "sse") Object.assign(proxy, { cuts: 2, after: 3000 });
      const before = proxy.requests.length;
      proxy.cut();
      await goOn(threadId, "hi");
      await page.settled();
      await page.until(() => page.lines()[1] === HELLO);
      assert.ok(proxy.requests.slice(before).some(({ url }) => url.endsWith("/stream/events")), "it did not come back");
      assert.deepEqual(page.lines(), ["hi", HELLO]);
      grewTo(page, 1, HELLO);
      page.leave();
      proxy.close();
    });
  });
}
