// Choosing runs in their list, with the number of them in every question; and an action's page, until it is over.
import { subscribe } from "./live.js";

const form = document.querySelector("#bulk");
if (form) choose();
for (const element of document.querySelectorAll("[data-until-over]")) {
  subscribe(element.dataset.untilOver, ({ over }) => {
    if (over) element.remove();
  });
}

function choose() {
  const whole = document.querySelector("[data-choose-page]");
  const boxes = [...document.querySelectorAll('input[name="run"][form="bulk"]')];
  whole.addEventListener("change", () => {
    for (const box of boxes) box.checked = whole.checked;
  });
  document.addEventListener("change", ({ target }) => {
    if (target === whole || boxes.includes(target)) form.elements.which.value = "chosen";
    show(whole, boxes);
  });
  addEventListener("pageshow", () => show(whole, boxes)); // a browser may remember what was chosen
  show(whole, boxes);
}

function show(whole, boxes) {
  const count = boxes.filter((box) => box.checked).length;
  whole.checked = count === boxes.length;
  whole.indeterminate = count > 0 && count < boxes.length;
  const all = form.querySelector('input[name="which"][value="all"]');
  const those = all?.checked ? all.dataset.howMany : `${count} chosen run${count === 1 ? "" : "s"}`;
  form.querySelector("[data-chosen]").textContent = count;
  for (const place of form.querySelectorAll("[data-those]")) place.textContent = those;
  for (const button of form.querySelectorAll("[data-verb]")) button.disabled = !all?.checked && !count;
}
