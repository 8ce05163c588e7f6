// The admin's pages load classic scripts only; this one brings the console's modules to them.
import("./page.js").catch(() => {});
