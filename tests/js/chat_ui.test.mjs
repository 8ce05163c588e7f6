// The calls of a finished chat page and of an inbox, in the order in which such apps make them. tests/test_js_sdk.py runs
// this.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { mounted, until } from "./page.mjs";

const { useState } = await import("react");
const { useStream } = await import("@langchain/langgraph-sdk/react");
const { Client } = await import("@langchain/langgraph-sdk");

const apiUrl = process.env.WEFT_URL;
const client = new Client({ apiUrl, apiKey: null });
const pages = [];
after(() => pages.forEach((page) => page.leave()));

const human = (content) => ({ id: crypto.randomUUID(), type: "human", content });
/** How a chat page submits: it shows the message at once, and wants a stream it can come back to. */
const shown = (message) => ({
  streamMode: ["values"],
  streamSubgraphs: true,
  streamResumable: true,
  optimisticValues: (before) => ({ ...before, messages: [...(before.messages ?? []), message] }),
});
const say = (page, message) => page.now().submit({ messages: [message] }, shown(message));

function opened(assistantId, threadId = null) {
  const ids = [];
  const page = mounted(() => {
    const [current, setCurrent] = useState(threadId);
    const onThreadId = (id) => setCurrent(ids[ids.push(id) - 1]);
    return useStream({ apiUrl, assistantId, threadId: current, fetchStateHistory: true, onThreadId });
  });
  pages.push(page);
  return Object.assign(page, { ids });
}

describe("a finished chat page", { concurrency: 3 }, () => {
  test("asks whether the server is there, talks, lists its threads, is reloaded and writes an answer anew", async () => {
    const info = await fetch(`${apiUrl}/info`);
    assert.ok(info.ok && (await info.json()).version);
    const page = opened("chat");
    await page.until(() => true);
    const first = human("my name is Ada");
    say(page, first);
    await page.until((stream) => stream.messages.length === 2);
    await page.settled();
    assert.equal(page.ids.length, 1);
    const [threadId] = page.ids;

    // The list beside the chat, found by the graph's name; a thread's title is its first message.
    const listed = async () => {
      const threads = await client.threads.search({ metadata: { graph_id: "chat" }, limit: 100 });
      return threads.find((thread) => thread.thread_id === threadId);
    };
    assert.equal((await listed()).values.messages[0].content, first.content);
    assert.equal((await listed()).values.messages[0].id, first.id);
    // The graph's own assistant; whoever shares this server may have made others of the same graph.
    const own = { graphId: "chat", metadata: { created_by: "system" }, limit: 1 };
    const [assistant] = await client.assistants.search(own);
    const byAssistant = await client.threads.search({ metadata: { assistant_id: assistant.assistant_id }, limit: 100 });
    assert.ok(byAssistant.some((thread) => thread.thread_id === threadId));

    page.leave();
    const reloaded = opened("chat", threadId);
    await reloaded.until((stream) => stream.messages.length === 2 && !stream.isThreadLoading);
    assert.deepEqual(reloaded.lines(), ["my name is Ada", "Your name is Ada."]);
    const answer = reloaded.now().messages[1];
    const { parent_checkpoint: checkpoint } = reloaded.now().getMessagesMetadata(answer).firstSeenState;
    reloaded.now().submit(undefined, { checkpoint, streamMode: ["values"], streamSubgraphs: true, streamResumable: true });
    await reloaded.until(
      ({ messages, getMessagesMetadata }) =>
        messages[1] && getMessagesMetadata(messages[1])?.branchOptions?.length === 2,
    );
    await reloaded.settled();
    assert.deepEqual(reloaded.lines(), ["my name is Ada", "Your name is Ada."]);
    assert.deepEqual(reloaded.ids, []);
    const history = await client.threads.getHistory(threadId, { limit: 100 });
    assert.ok(history.length >= 4 && history.at(-1).metadata.step === -1);
    assert.deepEqual((await client.threads.getState(threadId)).next, []);
  });

  test("shows a failure and goes on", async () => {
    const page = opened("raiser");
    await page.until(() => true);
    page.now().submit({ way: "key" }, { streamMode: ["values"], streamSubgraphs: true, streamResumable: true });
    await page.until((stream) => stream.error && !stream.isLoading);
    assert.match(page.now().error.message, /missing/);
    page.now().submit({ way: "none" }, { streamMode: ["values"], streamSubgraphs: true, streamResumable: true });
    await page.until((stream) => !stream.isLoading && !stream.error && stream.values.log?.at(-1) === "fine");
  });

  test("answers a question, or has done with it; an inbox does both", async () => {
    const ask = async () => {
      const page = opened("approval");
      await page.until(() => true);
      say(page, human("Refund order 7"));
      await page.until((stream) => stream.interrupt && !stream.isLoading);
      return page;
    };
    const [answered, left, inboxed, ignored] = await Promise.all([ask(), ask(), ask(), ask()]);
    const idOf = (page) => page.ids[0];

    // The inbox: threads that wait, each with what is asked, in the row and in the state.
    const waiting = async () => {
      const threads = await client.threads.search({ status: "interrupted", limit: 100, offset: 0 });
      return new Map(threads.map((thread) => [thread.thread_id, thread]));
    };
    const found = await waiting();
    for (const page of [answered, left, inboxed, ignored]) {
      const [[interrupt]] = Object.values(found.get(idOf(page)).interrupts);
      assert.equal(interrupt.value.action_request.action, "refund");
      const state = await client.threads.getState(idOf(page));
      assert.deepEqual(state.tasks.at(-1).interrupts.map(({ id }) => id), [interrupt.id]);
      assert.deepEqual([page.now().interrupt.id, page.now().interrupt.value], [interrupt.id, interrupt.value]);
    }

    answered.now().submit({}, { command: { resume: { type: "accept" } }, streamMode: ["values"] });
    await answered.until((stream) => stream.messages.length === 2 && !stream.isLoading);
    assert.equal(answered.now().interrupt, undefined);
    // "Done with it" is a jump to the end. langgraph 1.2 asks again all the same: the run is over, the question waits.
    left.now().submit({}, { command: { goto: "__end__" } });
    const statuses = async () => (await client.runs.list(idOf(left))).map((one) => one.status).join();
    await until(async () => (await statuses()) === "success,success", "the end of the jump");
    const run = await client.runs.create(idOf(inboxed), "approval", { command: { resume: { type: "ignore" } } });
    await client.runs.join(idOf(inboxed), run.run_id);
    assert.equal((await client.threads.getState(idOf(inboxed))).values.outcome.decision, "ignored");
    await client.threads.updateState(idOf(ignored), { values: null, asNode: "__end__" });
    assert.deepEqual((await client.threads.getState(idOf(ignored))).next, []);
    const still = await waiting();
    assert.deepEqual([answered, left, inboxed, ignored].map((page) => still.has(idOf(page))), [false, true, false, false]);
  });
});
