// One WebSocket a page, /admin/live: topics are subscribed to by name and tell their latest value. docs/console.md says how.
//
// Connects again by itself, stays silent while the page is hidden, and says on `[data-livedot]` how old the data are.
// Without a script of its own: `<b data-live="topic:path.to.value">` shows a value, `data-tone="topic:path"` a tone,
// `data-live-html="topic:path"` a piece of the page that the server rendered.
import { showTimes, since } from "./time.js";

const FIRST_PAUSE = 500; // milliseconds, doubled up to the longest
const LONGEST_PAUSE = 15_000;
const SILENCE = 25_000; // the server says something every 10 s; a connection that says nothing for so long is dead
const SIGNED_OUT = 4401;
const TONES = ["wf-good", "wf-warn", "wf-bad", "wf-live", "wf-wait", "wf-info"];

const topics = new Map(); // name -> {listeners, last, heard}
const shownHtml = new WeakMap();
let socket = null;
let state = "connecting"; // connecting, live, paused, refused
let pause = FIRST_PAUSE;
let silence;

/**
 * Hear of a topic's values: `listener(value, n)`, with the last known one at once. Of a topic that keeps only its latest
 * value some may be skipped; one that keeps many tells each, and `n` counts them. Returns what ends it.
 */
export function subscribe(name, listener) {
  let topic = topics.get(name);
  if (!topic) {
    topics.set(name, (topic = { listeners: new Set(), values: [], heard: 0, failed: "" }));
    say({ subscribe: [name] });
  }
  topic.listeners.add(listener);
  for (const [value, n] of topic.values) listener(value, n);
  connect();
  return () => {
    topic.listeners.delete(listener);
    if (topic.listeners.size || topics.get(name) !== topic) return;
    topics.delete(name);
    say({ unsubscribe: [name] });
  };
}

/** Subscribe to what the page's attributes ask for, and keep its dots. */
export function start() {
  watch(document);
  setInterval(showDots, 1000);
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : connect()));
  addEventListener("pagehide", rest);
  addEventListener("pageshow", connect);
  addEventListener("online", () => ((pause = FIRST_PAUSE), connect()));
}

/** Do the same for a piece of a page that came later. */
export function watch(root) {
  for (const element of root.querySelectorAll("[data-live]")) bind(element, element.dataset.live, show);
  for (const element of root.querySelectorAll("[data-live-html]")) bind(element, element.dataset.liveHtml, replace);
  for (const element of root.querySelectorAll("[data-tone]")) bind(element, element.dataset.tone, paint);
  for (const dot of root.querySelectorAll("[data-livedot]")) {
    dot.hidden = false;
    subscribe(dot.dataset.livedot, showDots);
  }
}

function bind(element, address, apply) {
  const colon = address.lastIndexOf(":");
  const path = address.slice(colon + 1).split(".");
  subscribe(address.slice(0, colon), (value) => {
    const found = path.reduce((inner, key) => inner?.[key], value);
    if (found !== undefined) apply(element, found);
  });
}

function show(element, value) {
  const text = value === null ? "–" : String(value);
  if (element.textContent !== text) element.textContent = text;
}

/** Put in HTML that the server rendered, unless somebody selects or types in what is there. */
function replace(element, html) {
  if (element.contains(document.activeElement) || element.contains(getSelection()?.focusNode ?? null)) return;
  if (shownHtml.get(element) === html) return;
  element.innerHTML = html;
  showTimes(element);
  shownHtml.set(element, html);
}

function paint(element, tone) {
  element.classList.remove(...TONES);
  if (tone) element.classList.add(`wf-${tone}`);
}

// --- the connection --------------------------------------------------------------------------------------------------

function connect() {
  if (socket || document.hidden || !topics.size || state === "refused") return;
  state = "connecting";
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const prefix = location.pathname.split("/admin/")[0]; // where the server is mounted
  const opened = (socket = new WebSocket(`${scheme}://${location.host}${prefix}/admin/live`));
  opened.onopen = () => {
    pause = FIRST_PAUSE;
    for (const topic of topics.values()) topic.values = [];
    say({ subscribe: [...topics.keys()] });
    listen(opened);
  };
  opened.onmessage = ({ data }) => {
    listen(opened);
    state = "live";
    for (const told of JSON.parse(data)) hear(told);
    showDots();
  };
  opened.onclose = ({ code }) => {
    clearTimeout(silence);
    if (socket !== opened) return;
    socket = null;
    if (code === SIGNED_OUT) state = "refused";
    else if (!document.hidden) {
      state = "connecting";
      setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
    showDots();
  };
}

function rest() {
  const open = socket;
  socket = null;
  state = "paused";
  open?.close();
  showDots();
}

function listen(opened) {
  clearTimeout(silence);
  silence = setTimeout(() => opened.close(), SILENCE);
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function hear({ topic: name, n, value, keep, error }) {
  const topic = topics.get(name);
  if (!topic) return;
  topic.failed = error ?? "";
  if (error) return;
  topic.heard = Date.now();
  topic.values.push([value, n]);
  topic.values.splice(0, topic.values.length - (keep ?? 1));
  for (const listener of [...topic.listeners]) listener(value, n);
}

function showDots() {
  for (const dot of document.querySelectorAll("[data-livedot]")) {
    const topic = topics.get(dot.dataset.livedot);
    const shown = state === "live" && topic?.failed ? "stale" : state;
    const age = topic?.heard ? `, data from ${since((Date.now() - topic.heard) / 1000)}` : "";
    const words = {
      live: "Live",
      paused: "Paused",
      refused: "Signed out: reload the page",
      stale: `${topic?.failed}${age}`,
      connecting: topic?.heard ? `Reconnecting${age}` : "Connecting",
    };
    dot.dataset.state = shown;
    if (dot.textContent !== words[shown]) dot.textContent = words[shown];
  }
}
