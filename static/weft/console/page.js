// What every page of the console has: copy buttons, times that stay true, live values, the jump box.
import { start as startLive } from "./live.js";
import { start as startPalette } from "./palette.js";
import { start as startTimes } from "./time.js";

document.documentElement.classList.add("wf-scripted");

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-of]");
  if (!button) return;
  event.preventDefault();
  const text = button.dataset.copy ?? document.querySelector(button.dataset.copyOf)?.textContent ?? "";
  await copied(text);
  button.dataset.done = "";
  setTimeout(() => delete button.dataset.done, 1500);
});

/** Put the text on the clipboard, on pages without TLS too, where browsers offer no clipboard to scripts. */
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "wf-visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// A menu closes when the person goes elsewhere.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.wf-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.wf-menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

startTimes();
startLive();
startPalette();
