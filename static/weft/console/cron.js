// The form of a timetable: says while somebody types when it would fire. The server knows; this only asks it.
const DEBOUNCE = 250; // milliseconds

const form = document.querySelector("form[data-preview]");
const shown = document.querySelector("#preview");
let asking = new AbortController();
let timer;

async function ask() {
  asking.abort();
  asking = new AbortController();
  const query = new URLSearchParams(["schedule", "timezone", "end"].map((name) => [name, form.elements[name].value]));
  try {
    const answer = await fetch(`${form.dataset.preview}?${query}`, { signal: asking.signal });
    if (answer.ok) shown.innerHTML = await answer.text(); // a template's, escaped by the server
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

form.querySelector("[data-without-scripts]").hidden = true;
form.addEventListener("input", (event) => {
  if (event.target.name === "reason") return;
  clearTimeout(timer);
  timer = setTimeout(ask, DEBOUNCE);
});
