"use strict";
(() => {
  const root = document.documentElement, button = document.getElementById("theme"), names = ["auto", "light", "dark"];
  const store = (value) => { try { localStorage.setItem("csa-theme", value); } catch { /* a sandboxed frame has no storage */ } };
  let theme = "auto";
  try { theme = localStorage.getItem("csa-theme") ?? "auto"; } catch { /* as above */ }
  const show = () => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => { theme = names[(names.indexOf(theme) + 1) % names.length]; store(theme); show(); });
  button.hidden = false;
  show();
  const wide = matchMedia("(min-width: 76rem)"), contents = document.querySelector(".contents details");
  const unfold = () => { contents.open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
})();
