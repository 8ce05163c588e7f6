// A small chat page over either useStream, as somebody would write it; tests/test_browser.py bundles and opens it.
// Its address says all: ?url= of the server, ?hook=, ?assistant=, and ?thread= once there is one.

import { createElement as h, useState } from "react";
import { createRoot } from "react-dom/client";
import { useStream as useClassic } from "@langchain/langgraph-sdk/react";
import { useStream as useEvents } from "@langchain/react";

const asked = new URLSearchParams(location.search);
const hooks = {
  classic: (settings) => useClassic({ ...settings, reconnectOnMount: true, fetchStateHistory: true }),
  sse: (settings) => useEvents({ ...settings, transport: "sse" }),
  websocket: (settings) => useEvents({ ...settings, transport: "websocket" }),
};
const useChat = hooks[asked.get("hook")];

function useThreadInAddress() {
  const [threadId, setThreadId] = useState(asked.get("thread"));
  const onThreadId = (made) => {
    asked.set("thread", made);
    history.replaceState(null, "", `?${asked}`);
    setThreadId(made);
  };
  return { threadId, onThreadId };
}

function textOf({ content }) {
  return typeof content === "string" ? content : content.map((block) => block.text ?? "").join("");
}

function Chat() {
  const thread = useThreadInAddress();
  const stream = useChat({ apiUrl: asked.get("url"), assistantId: asked.get("assistant"), ...thread });
  const [draft, setDraft] = useState("");
  const send = (event) => {
    event.preventDefault();
    stream.submit({ messages: [{ type: "human", content: draft }] });
    setDraft("");
  };
  const accept = () =>
    stream.respond
      ? stream.respond({ type: "accept" })
      : stream.submit(undefined, { command: { resume: { type: "accept" } } });
  return h(
    "main",
    { "aria-busy": stream.isLoading || stream.isThreadLoading },
    h("ul", null, stream.messages.map((message) => h("li", { key: message.id }, textOf(message)))),
    stream.error && h("p", { role: "alert" }, String(stream.error)),
    stream.interrupt && h("button", { onClick: accept }, "Accept"),
    h(
      "form",
      { onSubmit: send },
      h("input", { "aria-label": "Message", value: draft, onChange: (event) => setDraft(event.target.value) }),
    ),
    h("button", { onClick: () => stream.stop() }, "Stop"),
  );
}

createRoot(document.getElementById("root")).render(h(Chat));
