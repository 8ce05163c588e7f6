// Keeps `<time data-ago>` true, and says the exact time in the viewer's zone and in UTC on hover.
const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** `12 s ago`, `in 3 h`, `now`; as console/templatetags/console.py says it. */
export function since(seconds) {
  const away = Math.abs(Math.trunc(seconds));
  if (away < 1) return "now";
  const [size, unit] = UNITS.find(([size]) => away >= size);
  const said = `${Math.trunc(away / size)} ${unit}`;
  return seconds > 0 ? `${said} ago` : `in ${said}`;
}

/** The element of a time, an ISO string or Date. */
export function timeElement(moment) {
  const element = document.createElement("time");
  element.className = "wf-time";
  element.dateTime = new Date(moment).toISOString();
  element.dataset.ago = "";
  say(element);
  return element;
}

function say(element) {
  const moment = new Date(element.dateTime);
  const text = since((Date.now() - moment) / 1000);
  if (element.textContent !== text) element.textContent = text;
  if (!element.dataset.said) {
    element.title = `${moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" })}\n${moment.toISOString()}`;
    element.dataset.said = "1";
  }
}

/** Make the times in a piece of the page true now. */
export function showTimes(root) {
  root.querySelectorAll("time[data-ago]").forEach(say);
}

export function start() {
  showTimes(document);
  setInterval(() => document.hidden || showTimes(document), 1000);
}
