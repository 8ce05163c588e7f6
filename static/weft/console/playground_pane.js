// One pane of the playground: a run as it streams. What is shown is the stream a client of the API would get.
import { follow, frames, SILENCE } from "../stream.js";
import { length, make } from "./elements.js";
import { chatIn } from "./playground_chat.js";
import { logIn } from "./playground_log.js";

// Headers that pages have and the API has not.
const OF_PAGES = /^(content-security-policy|cross-origin-opener-policy|referrer-policy|vary|x-content-type-options|x-frame-options)$/;

/**
 * `run(thread, body, {token, anew, accepted})` sends a request and shows what comes; `anew` forgets what was said before,
 * `accepted` is called once the server has taken it. `thread` is where the pane's last run is; `places` are addresses.
 */
export function paneOf(element, places) {
  const find = (name) => element.querySelector(`[data-${name}]`);
  const chat = chatIn(find("chat"));
  const log = logIn(element);
  let current = null; // the run that is shown: what it has told of itself

  const pane = { element, thread: null, run };

  async function run(thread, body, { token, anew = false, accepted }) {
    current?.leave.abort();
    const shown = (current = { begun: performance.now(), leave: new AbortController(), token, accepted, count: 0 });
    pane.thread = thread;
    clear(anew);
    if (Array.isArray(body.input?.messages)) chat.say(body.input.messages);
    find("events-fold").open ||= !chat.isUsed();
    const path = thread ? `threads/${thread}/runs` : "runs";
    ask(`${path}/sent`, body, token).then(async (answer) => {
      if (answer.ok && current === shown) find("sent").innerHTML = await answer.text();
    });
    const clock = setInterval(() => tell("took", length(performance.now() - shown.begun)), 100);
    try {
      await stream(shown, `${path}/stream`, body);
    } finally {
      clearInterval(clock);
      if (current === shown) await finish(shown);
    }
  }

  function ask(path, body, token, signal) {
    const headers = { "Content-Type": "application/json", Accept: "text/event-stream", "X-CSRFToken": token };
    return fetch(places.playground + path, { method: "POST", headers, body: JSON.stringify(body ?? null), signal });
  }

  async function stream(shown, path, body) {
    const silent = new AbortController();
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE);
    };
    const { signal } = shown.leave;
    try {
      const answer = await ask(path, body, shown.token, AbortSignal.any([signal, silent.signal]));
      answered(answer);
      if (!(answer.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) return refuse(answer);
      shown.location = answer.headers.get("Content-Location");
      link(shown.location);
      shown.accepted?.();
      heard();
      for await (const { event, data } of frames(answer.body, heard)) if (current === shown) take(shown, event, JSON.parse(data));
    } catch (error) {
      if (error instanceof SyntaxError) throw error;
      if (signal.aborted) return;
      if (!shown.location) return fail("The server did not answer.");
      await again(shown);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The connection was lost: the stream from its beginning, without what has been shown already. */
  async function again(shown) {
    let skipped = shown.count;
    const following = follow(`${shown.location}/stream`, {
      base: places.playground.replace(/\/$/, ""),
      onEvent: ({ event, data }) => {
        if (skipped > 0) skipped -= 1;
        else if (current === shown) take(shown, event, data);
      },
      onError: (status) => fail(`The connection was lost, and the run is gone (${status}).`),
    });
    shown.leave.signal.addEventListener("abort", following.stop, { once: true });
    await following.done;
  }

  // --- what comes ----------------------------------------------------------------------------------------------------

  function take(shown, event, data) {
    const at = performance.now() - shown.begun;
    shown.count += 1;
    if (shown.count === 1) tell("first-event", length(at));
    if (chat.take(event, data) && !shown.spoke) tell("first-token", length((shown.spoke = at)));
    if (event === "error") fail(`${data?.error ?? "Error"}: ${data?.message ?? ""}`);
    if (event === "values") shown.values = data;
    tell("count", shown.count);
    light(event, data);
    log.add(event, data, at);
  }

  async function finish(shown) {
    tell("took", length(performance.now() - shown.begun));
    find("end")?.toggleAttribute("hidden", true);
    chat.rest();
    if (!shown.location) return;
    const answer = await fetch(`${places.playground}runs/${nameOf(shown.location)}/outcome`);
    if (current !== shown) return;
    if (answer.ok) find("outcome").innerHTML = await answer.text();
    else find("outcome").replaceChildren(gone(shown.values));
    const status = find("outcome").querySelector("template[data-status-is]");
    if (status) find("shown-status").replaceChildren(status.content);
    else chip("ended", "none");
    if (!chat.isUsed()) find("outcome").querySelector("[data-state-fold]")?.setAttribute("open", "");
  }

  /** A stateless run leaves nothing behind but what it streamed. */
  function gone(values) {
    const fold = make("details", "wf-fold");
    fold.dataset.stateFold = "";
    const text = make("pre", "wf-code", values === undefined ? "–" : JSON.stringify(values, null, 2));
    text.tabIndex = 0;
    fold.append(make("summary", "", "Last values: the run's thread is gone"), text);
    return fold;
  }

  /** Nodes in the drawing, as far as the chosen modes tell of them. */
  function light(event, data) {
    const lit = (name, state) => {
      const node = element.querySelector(`[data-node="${CSS.escape(name)}"]`);
      if (node) node.dataset.state = state;
    };
    if (event === "updates") {
      for (const name of Object.keys(data ?? {})) if (name !== "__interrupt__") lit(name, "done");
    }
    if (event === "tasks" && data?.name) lit(data.name, data.error ? "failed" : data.interrupts?.length ? "asked" : "result" in data ? "done" : "running");
    if (event.startsWith("messages") && data?.[1]?.langgraph_node && !event.includes("|")) lit(data[1].langgraph_node, "running");
  }

  // --- what is shown of it -------------------------------------------------------------------------------------------

  function clear(anew) {
    find("nothing").hidden = true;
    find("run").hidden = false;
    find("failure").hidden = true;
    for (const name of ["outcome", "sent", "answer", "run-link", "thread-link"]) find(name).replaceChildren();
    for (const name of ["first-event", "first-token"]) tell(name, "–");
    for (const node of element.querySelectorAll("[data-node]")) delete node.dataset.state;
    tell("count", 0);
    tell("answered", "");
    if (anew) chat.clear();
    log.clear();
    chip("running", "live");
  }

  function answered(answer) {
    const headers = [...answer.headers].filter(([name]) => !OF_PAGES.test(name)).map((pair) => pair.join(": "));
    find("answer").textContent = [`HTTP ${answer.status} ${answer.statusText}`, ...headers].join("\n");
    tell("answered", `${answer.status}`);
  }

  function link(location) {
    const run = nameOf(location);
    const set = (name, url, id) => {
      const link = find(name);
      link.href = url;
      link.textContent = `${name === "run-link" ? "run" : "thread"} ${id.slice(-12)}`;
    };
    set("run-link", `${places.runs}${run}/`, run);
    if (pane.thread) set("thread-link", `${places.threads}${pane.thread}/`, pane.thread);
    const button = find("end");
    if (!button) return;
    button.hidden = false;
    button.onclick = async () => {
      const answer = await ask(`runs/${run}/stop`, null, current.token);
      if (!answer.ok) fail(await detailOf(answer));
    };
  }

  async function refuse(answer) {
    const told = await detailOf(answer);
    find("answer").textContent += answer.status >= 400 ? `\n\n${told}` : "";
    fail(answer.redirected ? "You are signed out: reload the page." : told);
    chip("refused", "bad");
  }

  function fail(text) {
    find("failure").lastElementChild.textContent = text;
    find("failure").hidden = false;
  }

  function tell(name, text) {
    find(name).textContent = text;
  }

  function chip(word, tone) {
    find("shown-status").replaceChildren(make("span", `wf-chip wf-${tone}`, word));
  }

  return pane;
}

const nameOf = (location) => location.split("/").at(-1);

/** What the API says of a refusal; of a page's, its status. */
async function detailOf(answer) {
  const isJson = (answer.headers.get("Content-Type") ?? "").includes("json");
  return isJson ? (await answer.json()).detail : answer.status === 403 ? "You may not do this: reload the page." : `The server answered ${answer.status}.`;
}
