// The events of a run in a pane of the playground, by mode, each as it came. Pieces of one message share a row.
import { length, make } from "./elements.js";

const MOST = 400; // rows
const SUMMARY = 160; // characters of an event in its row

export function logIn(pane) {
  const find = (name) => pane.querySelector(`[data-${name}]`);
  const [list, filter, leftOut, kinds] = ["log", "filter", "left-out", "kinds"].map(find);
  let counts = new Map();
  let last = null; // the newest row
  let dropped = 0;

  filter.addEventListener("change", () => {
    for (const row of list.children) row.hidden = !fits(row.dataset.kind);
  });
  const fits = (kind) => !filter.value || filter.value === kind;

  function add(event, data, at) {
    const kind = event.split(/[|/]/)[0];
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    kinds.textContent = [...counts].map(([name, count]) => `${name} ${count}`).join(" · ");
    if (counts.get(kind) === 1) filter.append(new Option(kind));
    if (last?.event === event && kind === "messages") return last.join(data);
    last = row(event, data, at);
    last.element.dataset.kind = kind;
    last.element.hidden = !fits(kind);
    list.append(last.element);
    while (list.children.length > MOST) {
      list.firstElementChild.remove();
      leftOut.textContent = `${(dropped += 1)} earlier ones are not shown.`;
      leftOut.hidden = false;
    }
  }

  function clear() {
    counts = new Map();
    last = null;
    dropped = 0;
    leftOut.hidden = true;
    kinds.textContent = "";
    list.replaceChildren();
    filter.replaceChildren(new Option("all", ""));
  }

  return { add, clear };
}

function row(event, data, at) {
  const events = [data];
  const element = make("li");
  const details = make("details", "wf-event");
  const summary = make("summary");
  const text = make("span", "wf-event-text", brief(data));
  const many = make("span", "wf-count");
  many.hidden = true;
  const whole = make("pre", "wf-code");
  whole.tabIndex = 0;
  // As JSON only when somebody looks.
  const fill = () => (whole.textContent = events.map((one) => JSON.stringify(one, null, events.length > 1 ? 0 : 2)).join("\n"));
  details.addEventListener("toggle", () => details.open && fill());
  summary.append(make("span", "wf-event-time", `+${length(at)}`), make("b", "", event), many, text);
  details.append(summary, whole);
  element.append(details);
  const join = (more) => {
    events.push(more);
    many.textContent = `× ${events.length}`;
    many.hidden = false;
    text.textContent = brief(more);
    if (details.open) fill();
  };
  return { event, element, join };
}

function brief(data) {
  const text = JSON.stringify(data) ?? "";
  return text.length > SUMMARY ? `${text.slice(0, SUMMARY)}…` : text;
}
