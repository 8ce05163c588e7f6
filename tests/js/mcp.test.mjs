// The official MCP client of the JavaScript world against a live server. tests/test_js_sdk.py runs this file.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

async function connected(t) {
  const client = new Client({ name: "weft-tests", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${process.env.WEFT_URL}/mcp`)));
  t.after(() => client.close());
  return client;
}

async function allTools(client) {
  const found = [];
  let cursor;
  do {
    const page = await client.listTools({ cursor });
    found.push(...page.tools);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return found;
}

test("every assistant is listed as a tool", async (t) => {
  const tools = new Map((await allTools(await connected(t))).map((tool) => [tool.name, tool]));
  assert.equal(tools.get("chat").description, "A chat agent.");
  assert.equal(tools.get("chat").inputSchema.properties.messages.type, "string");
  assert.equal(tools.get("counter").inputSchema.properties.steps.type, "integer");
});

test("a tool's result comes as text and as structured content", async (t) => {
  const client = await connected(t);
  const result = await client.callTool({ name: "counter", arguments: { steps: 2 } });
  assert.equal(result.structuredContent.count, 2);
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
});

test("a failing tool is a result, an unknown one an error", async (t) => {
  const client = await connected(t);
  const failed = await client.callTool({ name: "boom", arguments: { kind: "text" } });
  assert.equal(failed.isError, true);
  await assert.rejects(client.callTool({ name: "nobody", arguments: {} }), /Unknown tool: nobody/);
});
