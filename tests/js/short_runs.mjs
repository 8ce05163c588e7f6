// WEFT_SHORT_RUNS short runs through the official SDK, ten at a time. tests/test_seam.py counts the requests they make.

import assert from "node:assert/strict";

import { Client } from "@langchain/langgraph-sdk";

const client = new Client({ apiUrl: process.env.WEFT_URL, apiKey: null });
const wanted = Number(process.env.WEFT_SHORT_RUNS);
let left = wanted;

async function work() {
  while (left > 0) {
    left -= 1;
    const { thread_id: threadId } = await client.threads.create();
    const names = [];
    for await (const part of client.runs.stream(threadId, "echo", { input: { text: "a" } })) names.push(part.event);
    assert.deepEqual(names, ["metadata", "values", "values"]);
  }
}

await Promise.all(Array.from({ length: 10 }, work));
console.log(`${wanted} runs`);
