// The official JavaScript SDK against a live server: WEFT_URL says where. tests/test_js_sdk.py runs this file.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import { Client } from "@langchain/langgraph-sdk";

const client = new Client({ apiUrl: process.env.WEFT_URL, apiKey: null });
const NOBODY = "00000000-0000-4000-8000-000000000000";

async function collected(parts) {
  const found = [];
  for await (const part of parts) found.push(part);
  return found;
}

async function newThread() {
  return (await client.threads.create()).thread_id;
}

async function until(threadId, runId, status) {
  for (let tries = 0; tries < 1000; tries += 1) {
    if ((await client.runs.get(threadId, runId)).status === status) return;
    await sleep(20);
  }
  assert.fail(`the run does not become ${status}`);
}

const httpStatus = (status) => (error) => error.status === status;

// --- assistants ---------------------------------------------------------------------------------------------------

test("an assistant is made, read, changed and deleted", async () => {
  const made = await client.assistants.create({ graphId: "echo", metadata: { m: 1 }, name: "mine" });
  assert.deepEqual(await client.assistants.get(made.assistant_id), made);
  const changed = await client.assistants.update(made.assistant_id, { metadata: { n: 2 } });
  assert.equal(changed.version, 2);
  assert.deepEqual(changed.metadata, { m: 1, n: 2 });
  const versions = await client.assistants.getVersions(made.assistant_id);
  assert.deepEqual(versions.map((version) => version.version), [2, 1]);
  assert.equal((await client.assistants.setLatest(made.assistant_id, 1)).version, 1);
  await client.assistants.delete(made.assistant_id);
  await assert.rejects(client.assistants.get(made.assistant_id), httpStatus(404));
});

test("assistants are searched page by page", async () => {
  const metadata = { mark: randomUUID() };
  for (let n = 0; n < 3; n += 1) await client.assistants.create({ graphId: "echo", metadata });
  assert.equal(await client.assistants.count({ metadata }), 3);
  const page = await client.assistants.search({ metadata, limit: 2, includePagination: true });
  assert.equal(page.assistants.length, 2);
  assert.equal(page.next, "2");
});

test("an assistant shows its graph", async () => {
  const drawn = await client.assistants.getGraph("parent", { xray: true });
  assert.ok(drawn.nodes.some((node) => node.id === "child:inner"));
  const [assistant] = await client.assistants.search({ graphId: "parent" });
  assert.equal((await client.assistants.getSchemas(assistant.assistant_id)).graph_id, "parent");
  assert.deepEqual(Object.keys(await client.assistants.getSubgraphs(assistant.assistant_id)), ["child"]);
});

// --- threads ------------------------------------------------------------------------------------------------------

test("a thread is made, read, changed, searched, copied and deleted", async () => {
  const mark = randomUUID();
  const made = await client.threads.create({ metadata: { mark }, graphId: "echo" });
  assert.deepEqual(made.interrupts, {});
  assert.deepEqual(await client.threads.get(made.thread_id), made);
  const changed = await client.threads.update(made.thread_id, { metadata: { more: true } });
  assert.deepEqual(changed.metadata, { mark, graph_id: "echo", more: true });
  assert.equal(await client.threads.count({ metadata: { mark } }), 1);
  assert.equal((await client.threads.search({ metadata: { mark } }))[0].thread_id, made.thread_id);
  const copy = await client.threads.copy(made.thread_id);
  assert.notEqual(copy.thread_id, made.thread_id);
  await client.threads.delete(made.thread_id);
  await assert.rejects(client.threads.get(made.thread_id), httpStatus(404));
});

test("a fresh thread has an empty state", async () => {
  const state = await client.threads.getState(await newThread());
  assert.deepEqual(state.values, {});
  assert.deepEqual([state.next, state.tasks, state.interrupts], [[], [], []]);
  assert.equal(state.checkpoint, null);
});

test("state and history are read and written, and forked from", async () => {
  const threadId = await newThread();
  await client.runs.wait(threadId, "path", { input: { note: "a" } });
  const history = await client.threads.getHistory(threadId, { limit: 20 });
  assert.deepEqual(history.map((state) => state.next), [[], ["three"], ["two"], ["one"], ["__start__"]]);
  const older = await client.threads.getHistory(threadId, { limit: 20, before: { configurable: history[1].checkpoint } });
  assert.deepEqual(older, history.slice(2));
  const checkpoint = history[2].checkpoint;
  assert.deepEqual((await client.threads.getState(threadId, checkpoint)).next, ["two"]);
  assert.deepEqual((await client.threads.getState(threadId, checkpoint.checkpoint_id)).next, ["two"]);
  const written = await client.threads.updateState(threadId, { values: { note: "b" }, asNode: "one", checkpoint });
  assert.equal(written.configurable.thread_id, threadId);
  const forked = await client.runs.wait(threadId, "path", { input: null, checkpoint: written.configurable });
  assert.deepEqual(forked.log.slice(-2), ["two:b", "three:b"]);
});

test("the state of a subgraph is read with subgraphs", async () => {
  const threadId = await newThread();
  await client.runs.wait(threadId, "parent", { input: { stop: true } });
  const state = await client.threads.getState(threadId, undefined, { subgraphs: true });
  assert.deepEqual(state.tasks[0].state.next, ["inner"]);
});

// --- runs ---------------------------------------------------------------------------------------------------------

test("onRunCreated names the run in every form", async () => {
  const threadId = await newThread();
  const seen = [];
  const options = { input: { text: "a" }, onRunCreated: (created) => seen.push(created) };
  const run = await client.runs.create(threadId, "echo", options);
  await client.runs.wait(threadId, "echo", options);
  await collected(client.runs.stream(threadId, "echo", options));
  assert.deepEqual(seen[0], { run_id: run.run_id, thread_id: threadId });
  const listed = await client.runs.list(threadId, { select: ["run_id"] });
  assert.deepEqual(listed.map((found) => found.run_id).reverse(), seen.map((created) => created.run_id));
  const stateless = await client.runs.create(null, "echo", options);
  assert.equal(seen.at(-1).run_id, stateless.run_id);
});

test("a run is made, joined, listed and deleted", async () => {
  const threadId = await newThread();
  const run = await client.runs.create(threadId, "sleeper", { input: { seconds: 0.2 } });
  assert.deepEqual(await client.runs.join(threadId, run.run_id), { seconds: 0.2, log: ["first", "slept"] });
  assert.equal((await client.runs.get(threadId, run.run_id)).status, "success");
  assert.equal((await client.runs.list(threadId, { status: "success" })).length, 1);
  await client.runs.delete(threadId, run.run_id);
  await assert.rejects(client.runs.get(threadId, run.run_id), httpStatus(404));
});

test("wait throws what the graph raised, and does not try again", async () => {
  const threadId = await newThread();
  await assert.rejects(client.runs.wait(threadId, "boom", { input: { kind: "value" } }), /ValueError: kaboom/);
  assert.equal((await client.runs.list(threadId)).length, 1);
});

test("wait for a stateless run answers its values", async () => {
  assert.deepEqual(await client.runs.wait(null, "echo", { input: { text: "a" } }), {
    text: "a",
    log: ["a"],
    messages: [],
  });
});

test("an interrupt is answered", async () => {
  const threadId = await newThread();
  const asked = await client.runs.wait(threadId, "ask", { input: { q: "a" } });
  assert.deepEqual(asked.__interrupt__[0].value, { question: "a!" });
  assert.equal((await client.threads.get(threadId)).status, "interrupted");
  const done = await client.runs.wait(threadId, "ask", { command: { resume: false } });
  assert.deepEqual(done, { q: "a!", answer: false });
});

test("a stream yields its parts in order", async () => {
  const parts = await collected(
    client.runs.stream(null, "parent", { input: { foo: "a" }, streamMode: ["values", "updates"], streamSubgraphs: true }),
  );
  const names = parts.map((part) => part.event.replace(/:.*/, ""));
  assert.equal(names[0], "metadata");
  assert.deepEqual(names.slice(1, 4), ["values", "updates", "values"]);
  assert.ok(names.includes("updates|child"));
});

test("tokens add up to the text", async () => {
  const input = { messages: [{ type: "human", content: "hi" }] };
  const parts = await collected(client.runs.stream(null, "talker", { input, streamMode: "messages-tuple" }));
  const chunks = parts.filter((part) => part.event === "messages").map((part) => part.data[0]);
  const text = chunks.filter((chunk) => chunk.type === "AIMessageChunk").map((chunk) => chunk.content).join("");
  assert.equal(text, "Hello big world");
});

test("a failing stream ends with its error", async () => {
  const parts = await collected(client.runs.stream(null, "boom", { input: { kind: "secret" } }));
  assert.deepEqual(parts.at(-1).data, { error: "SecretError", message: "An internal error occurred" });
  assert.equal(parts.at(-1).event, "error");
});

test("a stream is joined from its beginning, while it runs and after", async () => {
  const threadId = await newThread();
  const run = await client.runs.create(threadId, "ticker", {
    input: { ticks: 8, pause: 0.1 },
    streamMode: ["custom"],
    streamResumable: true,
  });
  await until(threadId, run.run_id, "running");
  await sleep(300);
  const join = () => collected(client.runs.joinStream(threadId, run.run_id, { lastEventId: "-1" }));
  const parts = await join();
  assert.equal(parts[0].event, "metadata");
  assert.deepEqual(parts.slice(1).map((part) => part.data.tick), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual((await join()).map((part) => part.id), parts.map((part) => part.id));
  assert.deepEqual(await collected(client.runs.joinStream(threadId, run.run_id)), []);
});

test("a stream that breaks is taken up where it broke", async () => {
  let drops = 0;
  const breaking = async (url, init) => {
    const response = await fetch(url, init);
    if (!response.headers.get("content-type")?.startsWith("text/event-stream") || drops >= 3) return response;
    drops += 1;
    const reader = response.body.getReader();
    let chunks = 0;
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        chunks += 1;
        if (chunks > 3) {
          await reader.cancel();
          return controller.error(new TypeError("terminated"));
        }
        return controller.enqueue(value);
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  };
  const dropped = new Client({ apiUrl: process.env.WEFT_URL, apiKey: null, callerOptions: { fetch: breaking } });
  const threadId = await newThread();
  const parts = await collected(
    dropped.runs.stream(threadId, "ticker", {
      input: { ticks: 20, pause: 0.05 },
      streamMode: ["custom"],
      streamResumable: true,
    }),
  );
  assert.ok(drops >= 2);
  const ticks = parts.filter((part) => part.event === "custom").map((part) => part.data.tick);
  assert.deepEqual(ticks, [...Array(20).keys()]);
});

test("a stateless stream can be joined by its run alone", async () => {
  let created;
  const streaming = collected(
    client.runs.stream(null, "ticker", {
      input: { ticks: 10, pause: 0.1 },
      streamMode: ["custom"],
      streamResumable: true,
      onRunCreated: (named) => {
        created = named;
      },
    }),
  );
  while (!created) await sleep(10);
  const joined = await collected(client.runs.joinStream(null, created.run_id, { lastEventId: "-1" }));
  assert.deepEqual(joined, await streaming);
});

test("joining an unknown stream yields one error", async () => {
  const [part, ...rest] = await collected(client.runs.joinStream(await newThread(), NOBODY));
  assert.deepEqual([part.event, part.data.message, rest], ["error", "404: Run not found", []]);
});

test("a thread's stream is joined across its runs", async () => {
  const threadId = await newThread();
  const leaving = new AbortController();
  const seen = [];
  const watching = (async () => {
    for await (const part of client.threads.joinStream(threadId, { signal: leaving.signal })) {
      seen.push(part);
      if (seen.filter((found) => found.data.status === "run_done").length === 2) leaving.abort();
    }
  })().catch((error) => assert.equal(error.name, "AbortError"));
  await sleep(500);
  for (const text of ["a", "b"]) await client.runs.wait(threadId, "echo", { input: { text } });
  await watching;
  const runIds = (await client.runs.list(threadId)).map((run) => run.run_id).reverse();
  const marks = seen.filter((part) => part.event === "metadata").map((part) => part.data.run_id);
  assert.deepEqual(marks, [runIds[0], runIds[0], runIds[1], runIds[1]]);
  const texts = seen.filter((part) => part.event === "values").map((part) => part.data.log);
  assert.deepEqual(texts, [[], ["a"], ["a"], ["a", "b"]]);
  assert.ok(seen.every((part) => /^\d{13}-\d+$/.test(part.id)));
});

test("runs are cancelled, with and without waiting", async () => {
  const threadId = await newThread();
  const first = await client.runs.create(threadId, "sleeper", { input: { seconds: 60 } });
  await until(threadId, first.run_id, "running");
  assert.equal(await client.runs.cancel(threadId, first.run_id), undefined);
  await until(threadId, first.run_id, "interrupted");
  await assert.rejects(client.runs.cancel(threadId, first.run_id), httpStatus(404));
  const second = await client.runs.create(threadId, "sleeper", { input: { seconds: 60 } });
  await until(threadId, second.run_id, "running");
  await client.runs.cancel(threadId, second.run_id, true, "rollback");
  await assert.rejects(client.runs.get(threadId, second.run_id), httpStatus(404));
});

test("a stream that is aborted with onDisconnect cancel ends its run", async () => {
  const threadId = await newThread();
  const aborting = new AbortController();
  let runId;
  const parts = client.runs.stream(threadId, "sleeper", {
    input: { seconds: 60 },
    onDisconnect: "cancel",
    signal: aborting.signal,
    onRunCreated: (created) => {
      runId = created.run_id;
    },
  });
  for await (const part of parts) if (part.event === "values" && part.data.log?.length) aborting.abort();
  await until(threadId, runId, "interrupted");
});

test("a busy thread rejects, and a batch is made", async () => {
  const threadId = await newThread();
  const run = await client.runs.create(threadId, "echo", { input: {}, afterSeconds: 600 });
  await assert.rejects(client.runs.create(threadId, "echo", { multitaskStrategy: "reject" }), httpStatus(409));
  await client.runs.cancel(threadId, run.run_id);
  const made = await client.runs.createBatch([0, 1].map((n) => ({ assistantId: "echo", input: { text: `${n}` } })));
  assert.deepEqual(made.map((found) => found.kwargs.input.text), ["0", "1"]);
});

// --- store --------------------------------------------------------------------------------------------------------

test("an item is put, read, found, listed and deleted", async () => {
  const space = ["js", randomUUID()];
  await client.store.putItem(space, "red", { text: "red red", part: 1 });
  await client.store.putItem(space, "blue", { text: "blue", part: 2 }, { ttl: 10 });
  await client.store.putItem(space, "bare", { text: "red", part: 2 }, { index: false });
  const item = await client.store.getItem(space, "red", { refreshTtl: true });
  assert.deepEqual([item.namespace, item.key, item.value.part], [space, "red", 1]);
  assert.ok(item.createdAt && item.updatedAt);
  const { items } = await client.store.searchItems(space, { query: "red", refreshTtl: false });
  assert.deepEqual(items.map((found) => found.key), ["red", "blue", "bare"]);
  assert.ok(items[0].score > items[1].score && items[2].score === null);
  const filtered = await client.store.searchItems(space, { filter: { part: { $gt: 1 } }, limit: 1, offset: 1 });
  assert.deepEqual(filtered.items.map((found) => found.key), ["blue"]);
  const listed = await client.store.listNamespaces({ prefix: ["js"], suffix: [space[1]], maxDepth: 2, limit: 5 });
  assert.deepEqual(listed.namespaces, [space]);
  await client.store.deleteItem(space, "red");
  await client.store.deleteItem(space, "red");
  assert.equal(await client.store.getItem(space, "red"), null);
  await assert.rejects(client.store.searchItems(space, { filter: { part: { $in: [1] } } }), httpStatus(400));
});

// --- crons --------------------------------------------------------------------------------------------------------

test("a cron is made, changed, searched, counted and deleted", async () => {
  const metadata = { js: randomUUID() };
  const threadId = await newThread();
  const made = await client.crons.create("echo", {
    schedule: "0 9 * * *", timezone: "Europe/Berlin", metadata, input: { text: "hi" }, onRunCompleted: "keep",
  });
  assert.deepEqual([made.enabled, made.on_run_completed, made.thread_id], [true, "keep", null]);
  const onThread = await client.crons.createForThread(threadId, "echo", { schedule: "@daily", metadata });
  assert.equal(onThread.thread_id, threadId);
  const changed = await client.crons.update(made.cron_id, { schedule: "30 2 * * *", enabled: false });
  assert.deepEqual([changed.schedule, changed.enabled, changed.timezone], ["30 2 * * *", false, "Europe/Berlin"]);
  const found = await client.crons.search({ metadata, sortBy: "created_at", sortOrder: "asc" });
  assert.deepEqual(found.map((cron) => cron.cron_id), [made.cron_id, onThread.cron_id]);
  assert.deepEqual(await client.crons.search({ metadata, enabled: false, select: ["cron_id"], limit: 1, offset: 0 }), [
    { cron_id: made.cron_id },
  ]);
  assert.equal(await client.crons.count({ metadata }), 2);
  assert.equal(await client.crons.count({ metadata, threadId }), 1);
  for (const cron of found) await client.crons.delete(cron.cron_id);
  assert.equal(await client.crons.count({ metadata }), 0);
  await assert.rejects(client.crons.delete(made.cron_id), httpStatus(404));
  await assert.rejects(client.crons.create("echo", { schedule: "never" }), httpStatus(422));
});
