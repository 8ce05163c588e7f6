// What is said in a pane of the playground: by people at once, by models token by token, by the state where it is known.
import { make } from "./elements.js";

const MOST = 200; // messages shown, the latest

/** `take(event, data)` hears one event of a stream and answers whether a model has said something in it. */
export function chatIn(list) {
  let messages = new Map(); // id to {message, element}
  let unnamed = 0;
  let used = false;

  function put(message, speaking) {
    const id = message.id ?? `unnamed-${(unnamed += 1)}`;
    const known = messages.get(id);
    const element = drawn(message, speaking);
    if (known) known.element.replaceWith(element);
    else list.append(element);
    messages.set(id, { message, element });
    used = true;
    while (messages.size > MOST) {
      const [oldest, { element: first }] = messages.entries().next().value;
      messages.delete(oldest);
      first.remove();
    }
  }

  /** A piece of a message joins what there is of it. */
  function add(piece) {
    const before = messages.get(piece.id)?.message;
    const content = before ? textOf(before.content) + textOf(piece.content) : piece.content;
    const calls = piece.tool_calls?.some((call) => call.name) ? piece.tool_calls : (before?.tool_calls ?? []);
    put({ ...before, ...piece, content, tool_calls: calls }, true);
  }

  function replace(all) {
    clear();
    for (const message of all.slice(-MOST)) put(message, false);
  }

  function clear() {
    messages = new Map();
    list.replaceChildren();
  }

  return {
    clear,
    isUsed: () => used,
    /** Show what a person sends, until the state has it. */
    say: (said) => said.forEach((message) => put({ type: message.role === "user" ? "human" : message.role, ...message }, false)),
    rest: () => list.querySelectorAll("[data-speaking]").forEach((element) => delete element.dataset.speaking),
    take(event, data) {
      const name = event.split("|")[0];
      if (event === "values" && Array.isArray(data?.messages)) replace(data.messages.filter(isMessage));
      if (name === "messages" && isMessage(data?.[0])) {
        if (data[0].type.endsWith("Chunk")) add(data[0]);
        else put(data[0], false);
        return data[0].type === "AIMessageChunk" && textOf(data[0].content) !== "";
      }
      if ((name === "messages/partial" || name === "messages/complete") && isMessage(data?.[0])) {
        put(data[0], name.endsWith("partial"));
        return name.endsWith("partial") && textOf(data[0].content) !== "";
      }
      return false;
    },
  };
}

const isMessage = (value) => typeof value === "object" && value !== null && typeof value.type === "string";

/** The text of a message's content, which may come in blocks. */
function textOf(content) {
  if (typeof content === "string") return content;
  return Array.isArray(content) ? content.map((block) => (typeof block === "string" ? block : (block?.text ?? ""))).join("") : "";
}

/** As templates/console/parts/message.html draws it. */
function drawn(message, speaking) {
  const type = { AIMessageChunk: "ai", HumanMessageChunk: "human", ToolMessageChunk: "tool" }[message.type] ?? message.type;
  const said = make("li", `wf-said wf-from-${type}`);
  const body = make("div");
  const text = textOf(message.content);
  if (text || !message.tool_calls?.length) body.append(make("p", "", text));
  for (const call of message.tool_calls ?? []) {
    const details = make("details", "wf-call");
    const arguments_ = make("pre", "wf-code", JSON.stringify(call.args, null, 2));
    arguments_.tabIndex = 0;
    const summary = make("summary");
    const icon = make("span", "wf-icon");
    icon.dataset.icon = "build";
    icon.ariaHidden = "true";
    summary.append(icon, `calls ${call.name}`);
    details.append(summary, arguments_);
    body.append(details);
  }
  if (speaking) said.dataset.speaking = "";
  said.append(make("b", "", message.name || type), body);
  return said;
}
