// A small chat page over either useStream, as somebody would write it; tests/test_browser.py bundles and opens it.
// Its address says all: ?url= of the server, ?hook=, ?assistant=, and ?thread= once there is one.

import { createElement as h, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import { useStream as useClassic } from "@langchain/langgraph-sdk/react";
import { useMessageMetadata, useStream as useEvents } from "@langchain/react";

const asked = new URLSearchParams(location.search);
/** Over classic streams; `before` is what to submit with so that the first message is said in another way. */
function useClassicChat(settings) {
  const stream = useClassic({ ...settings, reconnectOnMount: true, fetchStateHistory: true });
  const [first] = stream.messages;
  const checkpoint = first && stream.getMessagesMetadata(first)?.firstSeenState?.parent_checkpoint;
  return { stream, before: checkpoint && { checkpoint } };
}

/** The same over event streaming, whose client knows a message's checkpoint while it is the newest. */
function useEventsChat(settings) {
  const stream = useEvents({ ...settings, transport: asked.get("hook") });
  const forkFrom = useRef();
  const metadata = useMessageMetadata(stream, stream.messages[0]?.id);
  forkFrom.current ??= metadata?.parentCheckpointId;
  return { stream, before: forkFrom.current && { forkFrom: forkFrom.current } };
}

const useChat = asked.get("hook") === "classic" ? useClassicChat : useEventsChat;

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
  const { stream, before } = useChat({ apiUrl: asked.get("url"), assistantId: asked.get("assistant"), ...thread });
  const [draft, setDraft] = useState("");
  const say = (options) => {
    stream.submit({ messages: [{ type: "human", content: draft }] }, options);
    setDraft("");
  };
  const send = (event) => {
    event.preventDefault();
    say();
  };
  const accept = () =>
    stream.respond
      ? stream.respond({ type: "accept" }, { interruptId: stream.interrupt.id })
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
    before && h("button", { onClick: () => say(before) }, "Say it otherwise"),
    h("button", { onClick: () => stream.stop() }, "Stop"),
  );
}

createRoot(document.getElementById("root")).render(h(Chat));
