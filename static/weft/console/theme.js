// Light or dark, decided before the first paint. Not a module: those run too late. Shares its choice with the admin's pages.
(() => {
  const KEY = "adminTheme";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return JSON.parse(localStorage.getItem(KEY)) || "auto";
    } catch {
      return "auto";
    }
  };
  const apply = () => {
    const isDark = chosen() === "dark" || (chosen() === "auto" && dark.matches);
    root.classList.toggle("dark", isDark);
    root.classList.toggle("light", !isDark);
  };
  // On the admin's pages unfold applies it.
  if (root.classList.contains("wf")) {
    apply();
    dark.addEventListener("change", apply);
    addEventListener("storage", (event) => event.key === KEY && apply());
  }
  addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        const next = root.classList.contains("dark") ? "light" : "dark";
        localStorage.setItem(KEY, JSON.stringify(next));
        if (root.classList.contains("wf")) apply();
        else globalThis.Alpine.$data(root).adminTheme = next;
      });
    }
  });
})();
