// The page of `csa serve`: it asks the API beside it and nothing else. Texts go in as text, never as HTML.
const $ = (id) => document.getElementById(id);
const ACCEPT = { image: "image/*", audio: "audio/*", lidar: ".bin", series: ".csv,.npy,.ts" };
const TABS = ["search", "label", "judge"];
let model, views, answering = 0;

function make(tag, facts = {}, ...children) {
  const element = Object.assign(document.createElement(tag), facts);
  element.append(...children);
  return element;
}

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options).catch(() => { throw new Error("The server does not answer."); });
  const told = await answer.json();
  if (!answer.ok) throw new Error(`${told.error[0].toUpperCase()}${told.error.slice(1)}.`);
  return told;
}

const number = (value, digits = 3) => value.toFixed(digits).replace("-", "\u2212");
const percent = (value) => `${(100 * value).toFixed(1)}\u00a0%`;
const p = (value) => (value < 0.001 ? "p < 0.001" : `p = ${value.toPrecision(2)}`);

function say(words, bad = false) {
  $("said").textContent = words;
  $("said").classList.toggle("bad", bad);
}

// One field for an item of a view: a line for a text, a place to drop a file for everything else.
function field(view, chosen) {
  const { modality } = views[view];
  if (modality === "text") {
    const input = make("input", { type: "text", id: `${view}-${Math.random()}`, maxLength: 10000, autocomplete: "off" });
    const label = make("label", { className: "wide", htmlFor: input.id }, view, input);
    input.addEventListener("input", () => chosen(input.value.trim() || null));
    return { element: label, clear: () => { input.value = ""; } };
  }
  const words = make("span", { textContent: `Drop, paste or choose: ${view}` });
  const input = make("input", { type: "file", accept: ACCEPT[modality] ?? "" });
  input.setAttribute("aria-label", view);
  const shown = make("div", {}, words);
  const label = make("label", { className: "drop" }, input, shown);
  const clear = () => { shown.replaceChildren(words); input.value = ""; };
  const take = (file) => {
    if (!file) return;
    const reader = new FileReader();
    reader.onload = () => {
      shown.replaceChildren(
        modality === "image" ? make("img", { src: reader.result, alt: file.name }) : make("span", { textContent: file.name }));
      chosen(reader.result.slice(reader.result.indexOf(",") + 1));
    };
    reader.readAsDataURL(file);
  };
  input.addEventListener("change", () => take(input.files[0]));
  label.addEventListener("dragover", (event) => { event.preventDefault(); label.classList.add("over"); });
  label.addEventListener("dragleave", () => label.classList.remove("over"));
  label.addEventListener("drop", (event) => {
    event.preventDefault();
    label.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  return { element: label, clear, take };
}

// The fields of a form. Where one item alone is asked for, the last one that was given counts.
function fields(form, names, alone) {
  const given = {}, made = {};
  for (const view of names) {
    made[view] = field(view, (value) => {
      if (alone && value !== null)
        for (const other of names.filter((name) => name !== view)) { given[other] = null; made[other].clear(); }
      given[view] = value;
    });
    $(`${form}-items`).append(made[view].element);
  }
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData.files[0];
    const taker = Object.values(made).find((one) => one.take);
    if (file && taker && !$(form).hidden) taker.take(file);
  });
  return () => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null && value !== undefined));
}

function shown(view, result) {
  const path = (kind) => `v1/items/${encodeURIComponent(view)}/${kind}/${result.pair.split("/").map(encodeURIComponent).join("/")}`;
  const { modality } = views[view];
  if (modality === "text") return [make("span", { className: "text", textContent: result.items[view] })];
  if (modality === "array" || modality === "lidar") return [make("code", { textContent: result.items[view] })];
  const parts = [make("img", { src: path("picture"), alt: result.items[view], loading: "lazy" })];
  if (modality === "audio") parts.push(make("audio", { src: path("sound"), controls: true, preload: "none" }));
  return parts;
}

function card(result, into) {
  const other = Object.keys(views).find((view) => view !== into);
  const more = make("button", { type: "button", textContent: "More like this" });
  more.setAttribute("aria-label", `More like result ${result.rank}`);
  more.addEventListener("click", () => search({ like: { view: into, pair: result.pair } }));
  const facts = [`${result.rank}.`, number(result.score), result.split, result.label].filter(Boolean).join(" · ");
  const order = views[into].modality === "text" ? [other, into] : [into, other];
  return make("li", { className: "card" }, ...order.flatMap((view) => shown(view, result)),
    make("span", { className: "facts", textContent: facts }), more);
}

// Runs a question; an answer that a later question has overtaken is dropped.
async function answer(question, show) {
  const mine = ++answering;
  say("…");
  try {
    const told = await question();
    if (mine === answering) { say(""); $("answer").replaceChildren(...show(told)); }
    if (told.version !== model.version) await about();
  } catch (error) {
    if (mine === answering) { $("answer").replaceChildren(); say(error.message, true); }
  }
}

const unfamiliar = (found, what) => (found.unfamiliar
  ? [make("p", { className: "muted", textContent: `This ${what} is unlike what the model was trained on (${p(found.p_familiar)}), so what it says may not hold.` })]
  : []);

function search(asked) {
  const filters = { top: Number($("top").value) };
  if ($("split").value) filters.split = $("split").value;
  if ($("only").value) filters.label = $("only").value;
  return answer(() => ask("v1/search", { ...asked, ...filters }), (told) => {
    const found = told.found[0];
    const title = asked.like ? `More like ${asked.like.pair}` : `${found.results.length} results`;
    const list = make("ul", { className: "grid" }, ...found.results.map((result) => card(result, told.into)));
    return [make("h2", { textContent: title }), ...unfamiliar(found, told.view), list];
  });
}

function label(items, labels) {
  return answer(() => ask("v1/classify", { items, labels, top: 20 }), (told) => {
    const found = told.found[0];
    const rows = found.labels.map((one) => make("li", { className: one.in_set === false ? "out" : "" },
      make("span", { className: "text", textContent: one.label }), make("span", { textContent: number(one.score) }),
      make("span", { textContent: one.p_match === null ? "" : `${p(one.p_match)}${one.in_set ? " ✓" : ""}` })));
    const fit = found.labels.filter((one) => one.in_set).length;
    const words = model.calibrated
      ? `${fit} of the labels shown may fit (✓) at an error rate of ${percent(told.alpha)}.`
      : "Nothing was evaluated, so no label can be ruled out.";
    return [make("h2", { textContent: "Labels" }), make("p", { textContent: words }),
      ...unfamiliar(found, Object.keys(items)[0]), make("ul", { className: "labels" }, ...rows)];
  });
}

const MEANING = {
  match: "Strangers score so high too rarely.", mismatch: "True pairs score so low too rarely.",
  undecided: "Both true pairs and strangers score like this.", neither: "Neither true pairs nor strangers score like this.",
};

function judge(pair) {
  return answer(() => ask("v1/score", { pairs: [pair] }), (told) => {
    const [one] = told.scores, { decision } = one;
    const lines = [make("p", { textContent: `Score ${number(one.score)}${model.in_nats ? " nats" : ""}` })];
    if (!decision) return [make("div", { className: "verdict" }, ...lines)];
    lines.unshift(make("b", { textContent: decision.verdict }), make("p", { textContent: MEANING[decision.verdict] }));
    lines.push(
      make("p", { textContent: `As a true pair ${p(decision.p_match)}; as strangers ${p(decision.p_mismatch)}; error rate ${percent(decision.alpha)}.` }),
      make("p", { textContent: `Higher than ${percent(one.above_mismatched_pairs)} of mismatched and ${percent(one.above_true_pairs)} of true held-out pairs.` }),
      ...decision.doubts.map((doubt) => make("p", { className: "muted", textContent: `Doubtful: ${doubt}.` })));
    return [make("div", { className: `verdict ${decision.verdict}` }, ...lines)];
  });
}

function choose(chosen) {
  for (const name of TABS) {
    $(`tab-${name}`).setAttribute("aria-selected", String(name === chosen));
    $(`tab-${name}`).tabIndex = name === chosen ? 0 : -1;
    $(name).hidden = name !== chosen;
  }
  answering += 1;
  say("");
  $("answer").replaceChildren();
}

async function about() {
  model = await ask("v1/model");
  views = model.views;
  document.title = $("title").textContent = model.model ?? "CSA";
  $("version").textContent = `Version ${model.version} (${model.aliases.join(", ") || "no alias"}), registered ${model.registered.slice(0, 10)}`;
  const found = Object.entries(model.evaluated?.retrieval ?? {}).map(([way, { recall_at_1: r }]) =>
    `${way.replaceAll("_", " ")} R@1 ${percent(r.value)} (${percent(r.low)} to ${percent(r.high)})`);
  const sizes = Object.entries(views).map(([name, view]) => `${view.gallery.toLocaleString("en")} × ${name}`).join(", ");
  $("quality").textContent = `Searched: ${sizes}. ${found.length ? `On held-out pairs: ${found.join("; ")}.` : "Not evaluated."}`;
}

async function start() {
  await about();
  const names = Object.keys(views), open = names.filter((name) => views[name].modality !== "array");
  const texts = names.filter((name) => views[name].modality === "text");
  for (const split of model.splits) $("split").append(make("option", { textContent: split }));
  for (const one of model.labels) $("only").append(make("option", { textContent: one }));
  $("with-label").hidden = !model.labels.length;
  const byText = [...open].sort((a, b) => texts.includes(b) - texts.includes(a));
  const asked = fields("search", byText, true), pair = fields("judge", open, false);
  const items = fields("label", open.filter((name) => !texts.includes(name)), true);
  $("tab-label").hidden = texts.length !== 1 || open.length !== 2;
  $("tab-judge").hidden = open.length !== 2;
  const submit = (form, act) => $(form).addEventListener("submit", (event) => { event.preventDefault(); act(); });
  submit("search", () => {
    const given = Object.entries(asked());
    if (!given.length) return say("Type a sentence, or drop a file.", true);
    return search({ query: { [given[0][0]]: [given[0][1]] } });
  });
  submit("label", () => {
    const given = Object.entries(items()), labels = $("labels").value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!given.length) return say("Drop a file first.", true);
    return label({ [given[0][0]]: [given[0][1]] }, [...new Set(labels)]);
  });
  submit("judge", () => {
    const given = pair();
    if (Object.keys(given).length < 2) return say("Give both items of the pair.", true);
    return judge(given);
  });
  for (const name of TABS) $(`tab-${name}`).addEventListener("click", () => choose(name));
  document.querySelector("nav").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const able = TABS.filter((name) => !$(`tab-${name}`).hidden);
    const next = able[(able.findIndex((name) => !$(name).hidden) + step + able.length) % able.length];
    choose(next);
    $(`tab-${next}`).focus();
  });
}

start().catch((error) => say(error.message, true));
