// Renders one exchange of mail at a time from server-sent events; builds no HTML from strings.
"use strict";
const byId = (id) => document.getElementById(id);
const exchanges = new Map();
let shown = null;
let following = true;

function put(id, text) { byId(id).textContent = text || ""; }

function renderWire(exchange) {
  const box = byId("wire");
  box.replaceChildren();
  for (const [kind, line] of exchange.wire) {
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = line + "\n";
    box.append(span);
  }
  const secret = box.querySelector(".x");
  box.scrollTop = secret ? secret.offsetTop - box.offsetTop - box.clientHeight / 2 : 0;
}

function renderTree(layers) {
  const list = byId("tree");
  list.replaceChildren();
  layers.forEach((layer, depth) => {
    const item = document.createElement("li");
    item.className = `layer depth${Math.min(depth, 3)}${layer.good ? "" : " bad"}`;
    const name = document.createElement("b");
    name.textContent = layer.name;
    const detail = document.createElement("span");
    detail.textContent = layer.detail;
    item.append(name, detail);
    list.append(item);
  });
}

function renderHistory() {
  const box = byId("history");
  box.replaceChildren();
  for (const exchange of exchanges.values()) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${exchange.icon} ${exchange.label}`;
    button.setAttribute("aria-current", String(exchange.id === shown));
    button.addEventListener("click", () => { following = false; show(exchange.id); });
    box.append(button);
  }
}

function show(id) {
  shown = id;
  const e = exchanges.get(id);
  put("author-name", e.author.name); put("author-address", e.author.address);
  put("reader-name", e.reader.name); put("reader-address", e.reader.address);
  put("written-subject", e.written.subject); put("written-text", e.written.text);
  byId("refused").hidden = !e.refused; put("refused", e.refused);
  put("wire-summary", e.summary); put("sees", e.sees);
  renderWire(e);
  const badge = byId("badge");
  badge.className = `badge ${e.badge.kind}`; badge.textContent = e.badge.text;
  put("read-subject", e.read.subject); put("read-text", e.read.text); put("results", e.results);
  renderTree(e.layers);
  put("decision", e.decision);
  renderHistory();
}

const source = new EventSource("/events");
source.addEventListener("open", () => { byId("live").classList.add("on"); put("live", "live"); });
source.addEventListener("error", () => { byId("live").classList.remove("on"); put("live", "not connected"); });
source.addEventListener("exchange", (event) => {
  const exchange = JSON.parse(event.data);
  if (!exchanges.has(exchange.id)) following = true;
  exchanges.set(exchange.id, exchange);
  if (following) shown = exchange.id;
  show(shown);
});
source.addEventListener("certificate", (event) => {
  put("certificate", JSON.parse(event.data).present ? "Remove Bob’s certificate" : "Give Bob his certificate back");
});

async function post(path, body, button) {
  button.disabled = true;
  following = true;
  try { await fetch(path, { method: "POST", body }); } finally { button.disabled = false; }
}
byId("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  post("/send", new URLSearchParams(new FormData(event.target)), event.submitter || event.target.querySelector("button"));
});
for (const button of document.querySelectorAll("[data-post]")) {
  button.addEventListener("click", () => post(button.dataset.post, new URLSearchParams(new FormData(byId("compose"))), button));
}
