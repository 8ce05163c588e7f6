// The live side of a run's page: its timeline as bars, its graph lit, its messages as they are said.
import { length, make } from "./elements.js";
import { subscribe, watch } from "./live.js";

const TONE = { running: "live", done: "good", failed: "bad", asked: "warn", stopped: "warn" };
const name = document.querySelector("[data-run]").dataset.run;
let goesOn = Boolean(document.querySelector('[data-while="running"]'));
let timeline, chat, nodes;

find();
subscribe(`run:${name}`, (run) => {
  draw(run);
  if (!run.ended || !goesOn) return;
  goesOn = false;
  renew().then(() => draw(run));
});

function find() {
  timeline = document.querySelector("[data-timeline]");
  chat = document.querySelector("[data-chat]");
  nodes = new Map([...document.querySelectorAll("[data-node]")].map((node) => [node.dataset.node, node]));
}

function draw(run) {
  const latest = run.attempts?.at(-1);
  if (timeline && latest) drawTimeline(run);
  if (nodes.size && latest) light(latest.spans);
  if (chat && !run.ended) speak(latest?.spans ?? []);
  showStatus(run);
}

/** The run has ended: what the server made of it takes the place of what the page showed, but for its notices. */
async function renew() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = document.querySelector("main");
  const notices = main.querySelectorAll(".wf-messages");
  main.replaceChildren(...notices, ...fresh.querySelector("main").children);
  const actions = fresh.querySelector(".wf-actions");
  if (!document.querySelector(":popover-open")) document.querySelector(".wf-actions").replaceWith(actions);
  watch(document);
  find();
}

function showStatus(run) {
  const chip = document.querySelector("[data-run-status] .wf-chip");
  if (chip && chip.dataset.status !== run.status && run.status) {
    chip.dataset.status = run.status;
    chip.textContent = run.status;
    chip.className = `wf-chip wf-${{ running: "live", pending: "wait", success: "good", cancelling: "warn", interrupted: "warn" }[run.status] ?? "bad"}`;
  }
  const took = document.querySelector("[data-run-took]");
  if (took && run.took != null) took.textContent = length(run.took * 1000);
}

function drawTimeline(run) {
  const many = run.attempts.length > 1;
  timeline.replaceChildren(...run.attempts.map((attempt) => bars(attempt, many)));
}

function bars({ attempt, spans, left_out: leftOut, begun_at: begunAt }, titled) {
  const section = make("section", "wf-attempt");
  if (titled || attempt > 1) section.append(make("h3", "", `Attempt ${attempt}`));
  const now = Date.now() - begunAt * 1000;
  const whole = Math.max(...spans.map((span) => span.end ?? Math.max(now, span.begin)), 1);
  section.append(scale(whole));
  const list = make("ol", "wf-spans");
  for (const span of inOrder(spans)) list.append(bar(span, whole, now));
  section.append(list);
  if (leftOut) section.append(make("p", "wf-faint", `${leftOut} more are not kept.`));
  return section;
}

/** Parents before what is inside of them, each group by when it began. */
function inOrder(spans) {
  const inside = Map.groupBy(spans, (span) => span.parent ?? 0);
  const found = [];
  const add = (parent, depth) => {
    for (const span of inside.get(parent) ?? []) {
      found.push({ ...span, depth });
      add(span.number, depth + 1);
    }
  };
  add(0, 0);
  return found;
}

function bar(span, whole, now) {
  const end = span.end ?? Math.max(now, span.begin);
  const item = make("li", `wf-span wf-${TONE[span.status] ?? "none"} wf-kind-${span.kind}`);
  const name = make("span", "wf-span-name");
  name.style.paddingLeft = `${Math.min(span.depth, 8) * 14}px`;
  name.append(make("span", "wf-span-kind", span.kind), make("b", "", span.name));
  const track = make("span", "wf-span-track");
  const fill = make("span", "wf-span-fill");
  fill.style.left = `${(span.begin / whole) * 100}%`;
  fill.style.width = `max(${((end - span.begin) / whole) * 100}%, 3px)`;
  track.append(fill);
  if (span.first != null) {
    const first = make("span", "wf-span-first");
    first.style.left = `${(span.first / whole) * 100}%`;
    track.append(first);
  }
  const facts = [length(end - span.begin)];
  if (span.first != null) facts.push(`first token ${length(span.first - span.begin)}`);
  if (span.tokens) facts.push(`${span.tokens.in ?? 0} → ${span.tokens.out ?? 0} tokens`);
  const note = make("span", "wf-span-note", `${span.status === "done" ? "" : `${span.status} · `}${facts.join(" · ")}`);
  item.title = `${span.kind} ${span.name}: ${span.status}, from ${length(span.begin)} on, ${facts.join(", ")}${span.error ? `\n${span.error}` : ""}`;
  item.append(name, track, note);
  if (span.error) item.append(make("span", "wf-span-error", span.error));
  return item;
}

function scale(whole) {
  const line = make("div", "wf-scale");
  line.setAttribute("aria-hidden", "true");
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const mark = make("span", "", length(whole * part));
    mark.style.left = `${part * 100}%`;
    line.append(mark);
  }
  return line;
}

function light(spans) {
  const states = new Map();
  for (const span of spans) if (span.kind === "node" && span.parent == null) states.set(span.name, span.status);
  for (const [name, node] of nodes) {
    const state = states.get(name) ?? "";
    if (node.dataset.state !== state) node.dataset.state = state;
  }
}

/** What models say right now, below what the thread has. */
function speak(spans) {
  for (const old of chat.querySelectorAll("[data-speaking]")) old.remove();
  for (const span of spans) {
    if (span.kind !== "model" || !span.text) continue;
    const said = make("li", "wf-said wf-from-ai");
    said.dataset.speaking = "";
    const body = make("div");
    body.append(make("p", "", span.text));
    said.append(make("b", "", span.name), body);
    chat.append(said);
  }
  if (chat.children.length) document.querySelector("[data-no-messages]")?.remove();
}
