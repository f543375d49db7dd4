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
  const wire = exchange.refused ? [["s", "(not one octet)"]] : exchange.wire;
  for (const [kind, line] of wire) {
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = line + "\n";
    box.append(span);
  }
  const secret = box.querySelector(".x");
  box.scrollTop = secret ? secret.offsetTop - box.offsetTop - box.clientHeight / 2 : 0;
}

function renderTree(layers, refused) {
  const list = byId("tree");
  list.replaceChildren();
  put("untouched", refused ? "Nothing was sent, so there was nothing to open." : "");
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

const chips = new Map();  // kept from one rendering to the next: a button that has the focus keeps it

function chip(exchange) {
  const button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", () => { following = false; show(exchange.id); });
  chips.set(exchange.id, button);
  byId("history").append(button);
  return button;
}

function renderHistory() {
  for (const exchange of exchanges.values()) {
    const button = chips.get(exchange.id) || chip(exchange);
    const text = `${exchange.icon} ${exchange.id} ${exchange.label}`;
    if (button.textContent !== text) button.textContent = text;
    button.setAttribute("aria-current", String(exchange.id === shown));
  }
  if (following) byId("history").scrollTop = byId("history").scrollHeight;
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
  badge.className = `badge ${e.badge.kind}`;
  if (badge.textContent !== e.badge.text) badge.textContent = e.badge.text;
  put("read-subject", e.read.subject); put("read-text", e.read.text); put("results", e.results);
  renderTree(e.layers, e.refused);
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
  if (shown === exchange.id) show(shown); else renderHistory();
});
let present = null;
source.addEventListener("certificate", (event) => {
  const now = JSON.parse(event.data).present;
  put("certificate", now ? "Remove Bob’s certificate" : "Give Bob his certificate back");
  if (now !== present && !(now && present === null)) {
    put("news", now
      ? "Alice’s Gatepost knows Bob’s certificate again."
      : "Alice’s Gatepost knows no certificate for Bob: what must be encrypted to him is refused.");
  }
  present = now;
});

// aria-disabled, not disabled: a disabled button loses the keyboard's focus.
async function post(path, body, button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  following = true;
  try {
    await fetch(path, { method: "POST", body });
  } catch {
    put("news", "The demo does not answer: was it stopped? make demo starts it again.");
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
byId("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  post("/send", new URLSearchParams(new FormData(event.target)), event.submitter || event.target.querySelector("button"));
});
for (const button of document.querySelectorAll("[data-post]")) {
  button.addEventListener("click", () => post(button.dataset.post, new URLSearchParams(new FormData(byId("compose"))), button));
}
