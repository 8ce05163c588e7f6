// The playground's page: what is filled in becomes the very request a client would send, once for each pane.
import { paneOf } from "./playground_pane.js";

const bench = document.querySelector("[data-playground]");
const form = document.querySelector("[data-request]");
const panes = [...document.querySelectorAll("[data-pane]")].map((element) => paneOf(element, bench.dataset));

/** What was filled in is no request; `at` is where. */
class Unfit extends Error {
  constructor(message, at) {
    super(message);
    this.at = at;
  }
}

if (bench) begin();

function begin() {
  restore();
  // Where all lies below one another, what streams is to be near.
  if (!matchMedia("(min-width: 1080px)").matches) for (const fold of document.querySelectorAll("[data-graph-fold]")) fold.open = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("change", showChoices);
  for (const pane of panes) {
    pane.element.addEventListener("change", showChoices);
    pane.element.addEventListener("click", (event) => event.target.closest("[data-continue]") && goOn(pane, { input: null }));
    pane.element.addEventListener("submit", (event) => {
      const asked = event.target.closest("[data-resume]");
      if (!asked) return;
      event.preventDefault();
      goOn(pane, { command: { resume: { [asked.dataset.resume]: answerOf(asked.querySelector("textarea").value) } } });
    });
  }
  for (const choice of document.querySelectorAll("[data-choose]")) choice.addEventListener("change", choose);
  for (const link of document.querySelectorAll("[data-leave]")) link.addEventListener("click", keep);
  showChoices();
}

// --- sending ---------------------------------------------------------------------------------------------------------

function send() {
  attempt(() => {
    const input = inputOf();
    const on = form.elements.on.value;
    // Of two, one may have been refused before it had a thread.
    const creates = on === "new" || (on === "same" && panes.length > 1);
    const requests = panes.map((pane) => {
      const thread = threadFor(pane, on);
      return { thread, body: { ...base(pane), input, ...options(pane), ...(creates ? { if_not_exists: "create" } : {}) } };
    });
    panes.forEach((pane, at) => run(pane, requests[at], { anew: on !== "same", accepted: () => went(on, input) }));
    panes[0].element.querySelector("[data-run]").scrollIntoView({ block: "nearest" });
  });
}

/** Let a thread that has stopped go on: with an answer, or without input behind a breakpoint. */
function goOn(pane, what) {
  attempt(() => run(pane, { thread: pane.thread, body: { ...base(pane), ...what, ...options(pane) } }));
}

function attempt(act) {
  const problem = form.querySelector("[data-problem]");
  problem.hidden = true;
  for (const marked of document.querySelectorAll('[aria-invalid="true"]')) marked.removeAttribute("aria-invalid");
  try {
    act();
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    problem.lastElementChild.textContent = error.message;
    problem.hidden = false;
    error.at?.setAttribute("aria-invalid", "true");
    error.at?.closest("details")?.setAttribute("open", "");
    error.at?.focus();
  }
}

function run(pane, { thread, body }, more = {}) {
  pane.run(thread, body, { token: form.elements.csrfmiddlewaretoken.value, ...more });
}

function base(pane) {
  return { assistant_id: pane.element.dataset.assistant };
}

/** All of the body that is not what the graph is given. Absent is what is left as it is by default. */
function options(pane) {
  const ticked = (name) => [...pane.element.querySelectorAll(`[data-stop="${name}"]:checked`)].map((box) => box.value);
  const modes = [...form.querySelectorAll('[name="stream_mode"]:checked')].map((box) => box.value);
  const found = {
    context: objectIn(pane.element.querySelector("[data-context]"), "The context"),
    config: objectIn(pane.element.querySelector("[data-config]"), "The config"),
    stream_mode: modes.length ? modes : undefined,
    stream_subgraphs: form.elements.stream_subgraphs.checked || undefined,
    interrupt_before: ticked("before"),
    interrupt_after: ticked("after"),
    multitask_strategy: form.elements.on.value === "none" ? undefined : form.elements.multitask_strategy.value || undefined,
    durability: form.elements.durability.value || undefined,
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined && value.length !== 0));
}

/** The thread's id; null for a stateless run. */
function threadFor(pane, on) {
  if (on === "none") return null;
  if (on === "new") return newId();
  const given = form.elements.thread ? form.elements.thread.value.trim() : pane.thread;
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(given ?? "")) {
    throw new Unfit("The thread's id is none: it is a UUID.", form.elements.thread);
  }
  return given;
}

/** The server took it: the next message is another one, and goes on with the thread. */
function went(on, input) {
  const message = form.elements.message;
  if (message && message.value === input?.messages?.[0]?.content) message.value = "";
  if (on !== "new") return;
  const same = form.querySelector('[name="on"][value="same"]');
  same.disabled = false;
  same.checked = true;
  if (form.elements.thread) form.elements.thread.value = panes[0].thread;
}

function newId() {
  // Not randomUUID: browsers have it on pages with TLS only.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// --- what was filled in ----------------------------------------------------------------------------------------------

function way() {
  return form.elements.way.value;
}

function inputOf() {
  if (way() === "chat") {
    const at = form.elements.message;
    if (!at.value.trim()) throw new Unfit("There is nothing to say yet.", at);
    return { messages: [{ role: "user", content: at.value }] };
  }
  if (way() === "form") {
    const fields = [...form.querySelectorAll('[data-way="form"] [data-field]')];
    return Object.fromEntries(fields.map((field) => [field.dataset.field, valueOf(field)]).filter(([, value]) => value !== undefined));
  }
  const at = form.elements.json;
  if (!at.value.trim()) return null;
  return parsed(at, "The input");
}

/** A field's value, of the type its schema has; undefined for one that is left empty. */
function valueOf(field) {
  const at = field.querySelector("input, select, textarea");
  const { kind, field: name } = field.dataset;
  if (kind === "checkbox") return at.checked;
  if (!at.value.trim() && at.validity.valid) {
    if ("required" in field.dataset) throw new Unfit(`${name} is missing.`, at);
    return undefined;
  }
  if (kind === "select") return JSON.parse(field.dataset.choices)[at.selectedIndex - ("required" in field.dataset ? 0 : 1)];
  if (kind === "number") {
    if (!at.value || !Number.isFinite(Number(at.value))) throw new Unfit(`${name} must be a number.`, at);
    return Number(at.value);
  }
  return kind === "json" ? parsed(at, name) : at.value;
}

function parsed(at, what) {
  try {
    return JSON.parse(at.value);
  } catch (error) {
    throw new Unfit(`${what} is not JSON: ${error.message}.`, at);
  }
}

function objectIn(at, what) {
  if (!at.value.trim()) return undefined;
  const value = parsed(at, what);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Unfit(`${what} must be a JSON object.`, at);
  return value;
}

/** JSON where it is some, else the text: as the inbox reads answers. */
function answerOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.trim();
  }
}

// --- the page --------------------------------------------------------------------------------------------------------

function showChoices(event) {
  for (const part of form.querySelectorAll("[data-way]")) part.hidden = part.dataset.way !== way();
  if (event?.target.name === "thread" && event.target.value) form.querySelector('[name="on"][value="same"]').checked = true;
  form.querySelector("[data-modes]").textContent = [...form.querySelectorAll('[name="stream_mode"]:checked')].map((box) => box.value).join(", ") || "values";
  for (const { element } of panes) {
    const stops = [...element.querySelectorAll("[data-stop]:checked")].map((box) => `${box.dataset.stop} ${box.value}`);
    const told = element.querySelector("[data-stops]");
    if (told) told.textContent = stops.length ? `stops ${stops.join(", ")}` : "";
    const given = ["context", "config"].filter((name) => element.querySelector(`[data-${name}]`).value.trim());
    element.querySelector("[data-configured]").textContent = given.length ? `${given.join(" and ")} given` : "";
  }
}

/** Another assistant or version: the page anew, with what was typed. */
function choose({ target }) {
  // A version belongs to its assistant.
  const version = { assistant: "version", beside: "beside_version" }[target.name];
  if (version) document.querySelector(`[name="${version}"]`).disabled = true;
  keep();
  document.querySelector("#choose").requestSubmit();
}

function keep() {
  const typed = [...document.querySelectorAll("[data-keep]")].filter((area) => area.value !== area.defaultValue);
  sessionStorage.setItem("playground", JSON.stringify(typed.map((area) => [area.name, area.value])));
}

function restore() {
  const kept = JSON.parse(sessionStorage.getItem("playground") ?? "[]");
  sessionStorage.removeItem("playground");
  for (const [name, value] of kept) if (form.elements[name]) form.elements[name].value = value;
}
