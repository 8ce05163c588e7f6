// The jump box: Ctrl K, then a page's name or any id. The server says what an id belongs to (/admin/jump/).
const DEBOUNCE = 120; // milliseconds

export function start() {
  const openers = document.querySelectorAll("[data-palette]");
  for (const opener of openers) {
    opener.hidden = false;
    opener.addEventListener("click", open);
  }
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
}

function pages() {
  return [...document.querySelectorAll(".wf-nav a")].map((link) => ({
    title: link.lastChild.textContent.trim(),
    kind: link.closest("ul").previousElementSibling.textContent,
    url: link.getAttribute("href"),
  }));
}

async function found(text, signal) {
  const prefix = location.pathname.split("/admin/")[0]; // where the server is mounted
  const answer = await fetch(`${prefix}/admin/jump/?q=${encodeURIComponent(text)}`, {
    headers: { Accept: "application/json" },
    signal,
  });
  return answer.ok ? (await answer.json()).found : [];
}

function open() {
  if (document.querySelector(".wf-palette")) return;
  const dialog = document.createElement("dialog");
  dialog.className = "wf-palette";
  dialog.setAttribute("aria-label", "Jump to a page or an id");
  const input = document.createElement("input");
  Object.assign(input, { type: "text", placeholder: "A page, or the id of a run, thread, assistant, cron…", autocomplete: "off", spellcheck: false });
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-controls", "wf-palette-list");
  input.setAttribute("aria-label", "Page or id");
  const list = document.createElement("ul");
  list.id = "wf-palette-list";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Found");
  const note = document.createElement("p");
  dialog.append(input, list, note);
  document.body.append(dialog);
  dialog.showModal();

  const all = pages();
  let shown = [];
  let chosen = 0;
  let asking = new AbortController();
  let timer;

  const render = (rows, message) => {
    shown = rows;
    chosen = Math.min(chosen, Math.max(rows.length - 1, 0));
    list.replaceChildren(...rows.map(row));
    note.textContent = message;
    note.hidden = !message;
    input.setAttribute("aria-activedescendant", rows.length ? `wf-palette-${chosen}` : "");
  };
  const row = ({ title, kind }, number) => {
    const item = document.createElement("li");
    item.id = `wf-palette-${number}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(number === chosen));
    const small = document.createElement("small");
    small.textContent = kind;
    item.append(title, small);
    item.addEventListener("click", () => go(number));
    return item;
  };
  const go = (number) => shown[number] && location.assign(shown[number].url);
  const look = () => {
    asking.abort();
    clearTimeout(timer);
    const text = input.value.trim();
    const wanted = text.toLowerCase();
    const named = all.filter(({ title, kind }) => `${title} ${kind}`.toLowerCase().includes(wanted));
    chosen = 0;
    if (!/^[0-9a-f-]{6,36}$/i.test(text)) return render(named, named.length ? "" : "No page has this name.");
    render([], "Looking…");
    asking = new AbortController();
    const { signal } = asking;
    timer = setTimeout(async () => {
      try {
        const rows = await found(text, signal);
        render(rows, rows.length ? "" : "Nothing here has an id that begins so.");
      } catch (error) {
        if (error.name !== "AbortError") render([], "The server does not answer.");
      }
    }, DEBOUNCE);
  };

  input.addEventListener("input", look);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      chosen = (chosen + step + shown.length) % shown.length;
      render(shown, "");
      list.children[chosen].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      go(chosen);
    }
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  look();
}
