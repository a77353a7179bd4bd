(() => {
  const list = document.querySelector(".reviews"), boxes = [...list.querySelectorAll("input")], key = `csa-suspects ${list.dataset.fit}`;
  const part = (name) => document.getElementById(`marked-${name}`);
  const field = (text) => /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  let known = [];
  try { known = JSON.parse(localStorage.getItem(key)) ?? []; } catch { /* a sandboxed frame has no storage */ }
  const show = () => {
    const marked = boxes.filter((box) => box.checked);
    const text = ["pair_id,reason", ...marked.map((box) => `${field(box.value)},${field(box.dataset.reason)}`)].join("\n") + "\n";
    part("none").hidden = marked.length > 0;
    part("some").hidden = marked.length === 0;
    part("count").textContent = `${marked.length} marked`;
    part("list").textContent = text;
    part("save").href = `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`;
    for (const box of boxes) box.closest("li").classList.toggle("wrong", box.checked);
    try { localStorage.setItem(key, JSON.stringify(marked.map((box) => box.value))); } catch { /* as above */ }
  };
  for (const box of boxes) {
    box.checked = known.includes(box.value);
    box.closest(".mark").hidden = false;
    box.addEventListener("change", show);
  }
  show();
})();
