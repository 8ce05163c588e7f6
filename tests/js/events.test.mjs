// Event streaming with @langchain/langgraph-sdk: threads.stream and StreamController. tests/test_js_sdk.py runs this.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { Client } from "@langchain/langgraph-sdk";
import { StreamController } from "@langchain/langgraph-sdk/stream";

import { breakable, textOf, until } from "./page.mjs";
import { proxied } from "./proxy.mjs";

const apiUrl = process.env.WEFT_URL;
const client = new Client({ apiUrl, apiKey: null });
const HELLO =
  "Hello! That was message 1 of this thread. " +
  'Ask me "What is the weather in Paris?" or "What is 12 * 7?", or tell me your name.';
const SECOND = HELLO.replace("message 1", "message 2");
const said = (content) => ({ messages: [{ type: "human", content }] });
const closing = [];
let slow;

before(async () => {
  slow = (await client.assistants.create({ graphId: "chat", context: { delay: 0.1 } })).assistant_id;
});
after(() => Promise.all(closing.map((close) => close())));

/** The first `count` events a subscription yields. */
async function first(count, subscription) {
  const found = [];
  for await (const event of subscription) {
    found.push(event);
    if (found.length === count) return found;
  }
  return assert.fail(`only ${found.length} events`);
}

/** Every event until the root is over, that of the end included. */
async function untilEnd(subscription) {
  const found = [];
  for await (const event of subscription) {
    found.push(event);
    const { namespace, data } = event.params;
    if (event.method === "lifecycle" && !namespace.length && data.event !== "running") return found;
  }
  return assert.fail("the stream ended before the run");
}

for (const transport of ["sse", "websocket"]) {
  const streamed = (assistantId, threadId) => {
    const thread = client.threads.stream(threadId ?? randomUUID(), { assistantId, transport });
    closing.push(() => thread.close());
    return thread;
  };

  /** A controller and what its store shows; `seen` has every text the answer has had. */
  const controlled = (assistantId, options = {}) => {
    const controller = new StreamController({ assistantId, client, transport, ...options });
    const release = controller.activate();
    const seen = new Set();
    const state = () => controller.rootStore.getSnapshot();
    controller.rootStore.subscribe(() => seen.add(state().messages[1] ? textOf(state().messages[1]) : ""));
    const leave = () => {
      release();
      return controller.dispose();
    };
    closing.push(leave);
    const lines = () => state().messages.map(textOf);
    const shows = (...wanted) =>
      until(
        () => !state().isLoading && JSON.stringify(lines()) === JSON.stringify(wanted),
        () => `${JSON.stringify(wanted)}, but ${JSON.stringify(lines())}, ${state().error}`,
      );
    return { controller, state, lines, shows, seen, leave };
  };

  describe(`event streaming by ${transport}`, { concurrency: 7 }, () => {
    test("a thread's stream tells messages, values and the output", async () => {
      const thread = streamed("chat");
      const texts = (async () => {
        const [message] = await first(1, thread.messages);
        let text = "";
        for await (const delta of message.text) text += delta;
        return text;
      })();
      const { output } = thread; // asked for before the run: it begins to listen then
      const { run_id: runId } = await thread.submitRun({ input: said("hi") });
      assert.equal(await texts, HELLO);
      assert.equal((await output).messages.length, 2);
      await until(async () => (await client.runs.get(thread.threadId, runId)).status === "success", "the run's end");
    });

    test("what came before a subscription is replayed, in the same order and under the same ids", async () => {
      const thread = streamed("parent");
      const channels = ["values", "lifecycle", "checkpoints", "messages", "tasks"];
      const live = thread.subscribe(channels);
      await thread.submitRun({ input: { foo: "a" } });
      const events = await untilEnd(await live);
      const late = await untilEnd(await streamed("parent", thread.threadId).subscribe(channels));
      assert.deepEqual(late.map((event) => event.event_id), events.map((event) => event.event_id));
      assert.deepEqual(late.map((event) => event.params), events.map((event) => event.params));
      const seqs = late.map((event) => event.seq);
      assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b));
    });

    test("namespaces and depth choose what a subscription shows", async () => {
      const thread = streamed("talker_deep");
      const { threadId } = thread;
      await thread.submitRun({ input: said("hi") });
      const depths = async (namespaces, depth) => {
        const subscription = await streamed("talker_deep", threadId).subscribe({
          channels: ["values", "lifecycle"],
          namespaces,
          depth,
        });
        return new Set((await untilEnd(subscription)).map((event) => event.params.namespace.length));
      };
      assert.deepEqual(await depths([[]], 0), new Set([0]));
      assert.deepEqual(await depths([[]], 1), new Set([0, 1]));
      assert.deepEqual(await depths(undefined, undefined), new Set([0, 1, 2]));
    });

    test("subgraphs are discovered and heard", async () => {
      const thread = streamed("hesitant_inside");
      const found = first(1, thread.subgraphs);
      await thread.submitRun({ input: said("hi") });
      const [subgraph] = await found;
      assert.equal(subgraph.namespace[0].split(":")[0], "inside");
      // A client that subscribes while the run ends may pause before it has read anything: end it once it reads.
      const [message] = await first(1, subgraph.messages);
      await client.store.putItem(["go on", thread.threadId], "hi", { now: true });
      let text = "";
      for await (const delta of message.text) text += delta;
      assert.equal(text, HELLO);
    });

    test("tool calls are told with their input and output", async () => {
      const thread = streamed("chat");
      const calls = first(2, thread.toolCalls);
      await thread.submitRun({ input: said("What is the weather in Paris, and what is 12 * 7?") });
      const found = await Promise.all((await calls).map(async (call) => [call.name, call.input, await call.output]));
      assert.deepEqual(found.sort(), [
        ["calculator", { expression: "12 * 7" }, "12 * 7 = 84"],
        ["weather", { city: "Paris" }, "It is 18 °C and sunny in Paris."],
      ]);
    });

    test("a controller submits twice", async () => {
      const { controller, shows, seen } = controlled(slow);
      await controller.submit(said("hi"));
      await shows("hi", HELLO);
      await controller.submit(said("again"));
      await shows("hi", HELLO, "again", SECOND);
      assert.ok(seen.size > 3, "the answer came at once");
      for (const text of seen) assert.ok(HELLO.startsWith(text), text);
    });

    test("a controller answers a question", async () => {
      const { controller, state, shows } = controlled("approval");
      await controller.submit(said("Refund order 7"));
      await until(() => state().interrupt && !state().isLoading, "the question");
      await controller.respond({ type: "accept" });
      await shows("Refund order 7", "Refunded 25.0 EUR for order 7.");
      // The second of its connections may tell the question late; it asks the state once the run is over.
      await until(() => !state().interrupt, "the question to be gone");
    });

    test("a reload while the answer is written loses nothing", async () => {
      const connection = breakable();
      const leaving = controlled(slow, { fetch: connection.fetch });
      const submitted = leaving.controller.submit(said("hi"));
      await until(() => leaving.lines()[1]?.length > 20, "some words");
      await leaving.leave();
      connection.cut();
      await submitted;
      const { controller, shows, seen, state } = controlled(slow, { threadId: leaving.state().threadId });
      await controller.hydrationPromise;
      await shows("hi", HELLO);
      for (const text of seen) assert.ok(HELLO.startsWith(text), text);
      assert.equal((await client.runs.list(state().threadId)).length, 1);
    });

    test("a failure is told, and the thread goes on", async () => {
      const { controller, state } = controlled("boom");
      await controller.submit({ kind: "value" });
      await until(() => state().error && !state().isLoading, "the error");
      assert.match(String(state().error.message ?? state().error), /kaboom/);
      await controller.submit({ kind: "none" });
      await until(() => !state().isLoading && state().values.log?.at(-1) === "fine", "the second run");
      assert.equal(state().error, undefined);
    });

    test("stop cancels the run and drops the half answer", async () => {
      const { controller, state, lines, shows } = controlled(slow);
      const submitted = controller.submit(said("hi"));
      await until(() => lines()[1]?.length > 5, "some words");
      await controller.stop();
      await submitted;
      const { threadId } = state();
      await until(async () => (await client.runs.list(threadId))[0].status === "interrupted", "the interruption");
      await controller.submit(said("my name is Ada"));
      await until(() => !state().isLoading && lines().includes("Your name is Ada."), "the second answer");
      await shows("hi", "my name is Ada", "Your name is Ada.");
    });

    test("a cancelled run is told as interrupted", async () => {
      const thread = streamed("sleeper");
      const ending = thread.subscribe(["lifecycle"]).then(untilEnd);
      const { run_id: runId } = await thread.submitRun({ input: { seconds: 60 } });
      await until(async () => (await client.runs.get(thread.threadId, runId)).status === "running", "its start");
      await client.runs.cancel(thread.threadId, runId);
      assert.deepEqual((await ending).map((event) => event.params.data.event), ["running", "interrupted"]);
    });

    test("a message is edited, and the page shows the new branch alone", async () => {
      const { controller, state, shows } = controlled("chat");
      await controller.submit(said("my name is Ada"));
      await shows("my name is Ada", "Your name is Ada.");
      const [message] = state().messages;
      const metadata = controller.messageMetadataStore.getSnapshot().get(message.id);
      await controller.submit(said("my name is Bob"), { forkFrom: metadata.parentCheckpointId });
      await shows("my name is Bob", "Your name is Bob.");
    });

    for (const queue of ["local", "server"]) {
      test(`messages queued by the ${queue} are answered in turn`, async () => {
        const { controller, state, lines, shows } = controlled(slow, { queue });
        const submitted = controller.submit(said("hi"));
        await until(() => lines()[1]?.length > 5, "some words");
        await controller.submit(said("again"), { multitaskStrategy: "enqueue" });
        await submitted;
        await until(() => lines().length === 4, () => `two answers, but ${JSON.stringify(lines())}`);
        await shows("hi", HELLO, "again", SECOND);
        assert.equal((await client.runs.list(state().threadId)).length, 2);
      });
    }

    if (transport === "sse") {
      test("a connection that is cut loses no word, though the run ends meanwhile", async () => {
        const proxy = Object.assign(await proxied(apiUrl), { cuts: 2, after: 3000 });
        const through = new Client({ apiUrl: proxy.url, apiKey: null });
        const { controller, shows, seen, leave } = controlled(slow, { client: through });
        await controller.submit(said("hi"));
        await shows("hi", HELLO);
        assert.ok(proxy.broken >= 1);
        for (const text of seen) assert.ok(HELLO.startsWith(text), text);
        await leave();
        proxy.close();
      });
    }

    test("a classic run is watched", async () => {
      const threadId = (await client.threads.create()).thread_id;
      const events = streamed("chat", threadId).subscribe(["values", "lifecycle"]).then(untilEnd);
      await client.runs.wait(threadId, "chat", { input: said("hi") });
      const [running, ...rest] = await events;
      assert.equal(running.params.data.event, "running");
      assert.equal(rest.at(-1).params.data.event, "completed");
      assert.equal(rest.at(-2).params.data.messages[1].content, HELLO);
    });
  });
}
