// The page: what a reader opens, searches and asks about. The picture itself is that of `picture.js`.
"use strict";

const byId = (id) => document.getElementById(id);
const shapes = DATA.opened;
const picture = new Picture(DATA, shapes, new ELK());
const children = DATA.modules.map(() => []);
const paths = DATA.modules.map(() => "");
DATA.modules.forEach(([around, name], at) => {
  if (around < 0) return;
  children[around].push(at);
  paths[at] = [paths[around], name].filter(Boolean).join(".");
});
const tensorsOf = new Map();
for (const [, , row, path] of DATA.tensors) tensorsOf.set(path, row);

const state = { focused: null, zoom: 1, fitted: true, hits: [], copy: new Map(), turn: 0 };

// --- drawing ---

async function draw(focus = null) {
  const main = byId("picture"), turn = ++state.turn;
  const text = await picture.svg({ interactive: true });
  if (turn !== state.turn) return; // somebody was faster, and has opened or closed more
  main.innerHTML = text;
  scale();
  mark();
  const first = focus !== null && nodeOf(focus) ? focus : main.querySelector(".node")?.dataset.key;
  if (first !== undefined) rove(first, focus !== null);
  document.body.dataset.ready = "true";
}

const nodeOf = (key) => document.querySelector(`.node[data-key="${key}"]`);
const all = () => [...document.querySelectorAll(".node")];

function scale() {
  const svg = document.querySelector(".picture"), box = svg.viewBox.baseVal, main = byId("picture");
  if (state.fitted) state.zoom = Math.min(1, Math.max(0.35, (main.clientWidth - 40) / box.width));
  svg.setAttribute("width", box.width * state.zoom);
  svg.setAttribute("height", box.height * state.zoom);
}

function zoom(factor) {
  state.fitted = false;
  state.zoom = Math.min(3, Math.max(0.1, state.zoom * factor));
  scale();
}

// --- opening, and going from box to box ---

async function toggle(key) {
  const box = picture.boxes.get(key);
  if (!box || box.node[INSIDE] === null) return;
  if (picture.opened.has(key)) picture.opened.delete(key);
  else picture.opened.add(key);
  await draw(key);
}

function rove(key, focus) {
  const node = nodeOf(key);
  if (!node) return;
  document.querySelector('.node[tabindex="0"]')?.setAttribute("tabindex", "-1");
  node.setAttribute("tabindex", "0");
  state.focused = key;
  if (!focus) return;
  node.focus({ preventScroll: true });
  show(node);
}

// A box that is larger than the window is shown from its head on.
function show(node) {
  const main = byId("picture"), view = main.getBoundingClientRect();
  const head = node.querySelector(".box").getBoundingClientRect();
  const tall = head.height > view.height - 40, wide = head.width > view.width - 40;
  if (head.top < view.top || (tall ? head.top > view.bottom - 80 : head.bottom > view.bottom)) {
    main.scrollTop += head.top - view.top - (tall ? 16 : (view.height - head.height) / 2);
  }
  if (head.left < view.left || (wide ? head.left > view.right - 80 : head.right > view.right)) {
    main.scrollLeft += head.left - view.left - (wide ? 16 : (view.width - head.width) / 2);
  }
}

async function pressed(event) {
  const node = event.target.closest?.(".node");
  if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = node.dataset.key, open = picture.opened.has(key), box = picture.boxes.get(key);
  const nodes = all(), at = nodes.indexOf(node), parent = node.parentElement.closest(".node");
  const go = (to) => to && (rove(to.dataset.key, true), details(to.dataset.key));
  const keys = {
    ArrowDown: () => go(nodes[at + 1]),
    ArrowUp: () => go(nodes[at - 1]),
    Home: () => go(nodes[0]),
    End: () => go(nodes[nodes.length - 1]),
    ArrowRight: () => (open ? go(nodes[at + 1]) : box.node[INSIDE] !== null && toggle(key)),
    ArrowLeft: () => (open ? toggle(key) : go(parent)),
    Enter: () => (details(key), toggle(key)),
    " ": () => (details(key), toggle(key)),
  };
  if (!(event.key in keys)) return;
  event.preventDefault();
  await keys[event.key]();
}

async function clicked(event) {
  const node = event.target.closest(".node");
  if (!node) return;
  const key = node.dataset.key;
  rove(key, false);
  details(key);
  const head = node.querySelector(".box").getBoundingClientRect();
  const inside = picture.opened.has(key) && event.clientY - head.top > HEADER * state.zoom;
  if (!inside) await toggle(key);
}

// Open all that is around a module or tensor, and go there.
async function reveal(path) {
  const trail = picture.trail(path);
  trail.slice(0, -1).forEach((key) => picture.opened.add(key));
  if (!trail.length) return;
  const key = trail[trail.length - 1];
  trail.forEach((each, at) => {
    const copies = copiesAt(each), name = copies.find((copy) => within(path, [prefixOf(trail.slice(0, at)), copy]));
    if (name !== undefined) state.copy.set(each, copies.indexOf(name));
  });
  await draw(key);
}

const within = (path, parts) => `${path}.`.startsWith(`${parts.filter(Boolean).join(".")}.`);

function nodeAt(key) {
  let graph = DATA.graphs[DATA.root], node = null;
  for (const part of key.split("/")) {
    node = graph.nodes[Number(part)];
    graph = node[INSIDE] === null ? null : DATA.graphs[node[INSIDE]];
  }
  return node;
}

const copiesAt = (key) => nodeAt(key)[COPIES];

// The path of a box, in the copies that are chosen of the boxes around it.
function pathOf(key) {
  const parts = key.split("/");
  return prefixOf(parts.map((_, at) => parts.slice(0, at + 1).join("/")));
}

function prefixOf(keys) {
  const names = keys.map((key) => {
    const node = nodeAt(key);
    return node[COPIES].length ? node[COPIES][state.copy.get(key) || 0] : node[PATH];
  });
  return names.filter(Boolean).join(".");
}

// --- search ---

function found(selector) {
  const reached = [], modules = [], tensors = [], inside = [];
  DATA.modules.forEach(([around, ...step], at) => {
    reached[at] = around < 0 ? startOf(selector) : beyond(selector, reached[around], step);
    inside[at] = isEnd(selector, reached[at]) || (around >= 0 && inside[around]);
    if (isEnd(selector, reached[at])) modules.push(paths[at]);
  });
  let count = 0;
  for (const [module, steps, , path] of DATA.tensors) {
    const places = steps.reduce((at, step) => beyond(selector, at, step), reached[module]);
    if (isEnd(selector, places)) tensors.push(path);
    if (inside[module] || isEnd(selector, places)) count++;
  }
  return { modules, tensors, count };
}

function search(event) {
  event.preventDefault();
  const text = byId("selector").value;
  state.hits = [];
  if (text.trim() === "") {
    mark();
    return start();
  }
  const panel = byId("details");
  try {
    const { modules, tensors, count } = found(parseSelector(text, DATA.variables));
    state.hits = [...modules.filter(Boolean), ...tensors];
    const shown = state.hits.slice(0, 200);
    panel.replaceChildren(
      element("h2", {}, text),
      element("p", { className: "note", id: "found" }, `${plural(modules.length, "module")} and ${plural(count, "tensor")}`),
      element("ul", {}, ...shown.map((path) => element("li", {}, link(path)))),
    );
    if (!count && !modules.length) panel.append(...meant(text));
    if (state.hits.length > shown.length) panel.append(element("p", { className: "note" }, `and ${state.hits.length - shown.length} more`));
  } catch (error) {
    if (!(error instanceof SelectorFault)) throw error;
    panel.replaceChildren(element("h2", {}, text), element("p", { className: "note", id: "found" }, `This is not a selector: ${error.message}.`));
  }
  mark();
  const first = document.querySelector(".hit, .around");
  if (first) show(first);
}

// The name of a layer, or its type, that is nearly what was searched.
function meant(text) {
  const names = new Set(DATA.modules.flatMap(([, name, kind]) => [name, kind]).filter(Boolean));
  const near = [...names].map((name) => [distance(text.trim().toLowerCase(), name.toLowerCase()), name]);
  const best = near.sort((one, other) => one[0] - other[0])[0];
  if (!best || best[0] > Math.max(1, text.length / 3)) return [];
  return [element("p", { className: "note" }, "did you mean"), element("ul", {}, element("li", {}, example(best[1])))];
}

function distance(one, other) {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let at = 1; at <= one.length; at++) {
    const next = [at];
    for (let to = 1; to <= other.length; to++) {
      next[to] = Math.min(row[to] + 1, next[to - 1] + 1, row[to - 1] + (one[at - 1] === other[to - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[other.length];
}

const plural = (count, word) => `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;

function link(path) {
  const button = element("button", { type: "button", className: "path" }, path);
  button.addEventListener("click", async () => {
    await reveal(path);
    if (tensorsOf.has(path)) explain(path);
    else if (state.focused !== null) details(state.focused);
  });
  return button;
}

// What is found is marked where it can be seen, and else the box that it is in.
function mark() {
  for (const node of document.querySelectorAll(".hit, .around")) node.classList.remove("hit", "around");
  for (const path of state.hits) {
    const trail = picture.trail(path), shown = trail.filter((key) => picture.boxes.has(key));
    if (!shown.length) continue;
    nodeOf(shown[shown.length - 1])?.classList.add(shown.length === trail.length ? "hit" : "around");
  }
}

// --- details ---

function element(tag, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
}

function details(key) {
  const node = nodeAt(key), path = node[PATH] === null ? "" : pathOf(key);
  choose(key);
  const graphs = key.split("/").slice(0, -1).reduce((graph, part) => DATA.graphs[graph.nodes[Number(part)][INSIDE]], DATA.graphs[DATA.root]);
  const at = Number(key.split("/").pop());
  const flow = (edges) => [...new Set(edges.map((edge) => edge[SHAPE]).filter(Boolean))].join(", ") || "none";
  const rows = [
    ["type", node[TYPE] || node[KIND]],
    ...(node[PARAMETERS] ? [["parameters", grouped(node[PARAMETERS]) + (node[COPIES].length ? " in each copy" : "")]] : []),
    ...node[MARKS].map((mark) => ["rules", mark]),
    ...(node[CHANGE] ? [["change", node[CHANGE] === "inside" ? "something inside" : node[CHANGE]]] : []),
    ["gets", flow(graphs.edges.filter((edge) => edge[TARGET] === at))],
    ["gives", flow(graphs.edges.filter((edge) => edge[SOURCE] === at))],
  ];
  const tensors = path ? [...tensorsOf.keys()].filter((name) => name.startsWith(`${path}.`) || name === path) : [];
  byId("details").replaceChildren(
    element("h2", {}, path || node[LABEL] || node[KIND]),
    table(rows.map(([title, text]) => [title, text, "", "won"])),
    ...chooser(key, node),
    ...(tensors.length ? [element("h3", {}, plural(tensors.length, "tensor"))] : []),
    element("ul", {}, ...tensors.slice(0, 60).map((name) => element("li", {}, tensorButton(name)))),
  );
  if (tensors.length === 1) explain(tensors[0], true);
}

function choose(key) {
  document.querySelector(".chosen")?.classList.remove("chosen");
  nodeOf(key)?.classList.add("chosen");
}

function chooser(key, node) {
  if (!node[COPIES].length) return [];
  const select = element("select", { id: "copy" }, ...node[COPIES].map((name, at) => element("option", { value: at }, name)));
  select.value = state.copy.get(key) || 0;
  select.addEventListener("change", () => {
    state.copy.set(key, Number(select.value));
    details(key);
    byId("copy").focus();
  });
  return [element("p", {}, element("label", {}, "copy ", select), ` of ${node[COPIES].length}`)];
}

function tensorButton(name) {
  const button = element("button", { type: "button", className: "path" }, `${name}  ${DATA.rows[tensorsOf.get(name)][1]}`);
  button.addEventListener("click", () => explain(name));
  return button;
}

// What `explain` says of a tensor.
function explain(name, below = false) {
  const [names, form, reasons] = DATA.rows[tensorsOf.get(name)];
  const others = names.filter((other) => other !== name);
  const said = [
    element(below ? "h3" : "h2", {}, name),
    element("p", { className: "note" }, form),
    table(DATA.reasons[reasons]),
    ...(others.length ? [element("h3", {}, "is also"), element("ul", {}, ...others.slice(0, 60).map((other) => element("li", {}, link(other))))] : []),
  ];
  if (below) byId("details").append(...said);
  else byId("details").replaceChildren(...said);
}

function table(lines) {
  const rows = lines.map(([title, text, where, outcome]) =>
    element("tr", { className: outcome }, element("th", { scope: "row" }, title), element("td", {}, text), element("td", { className: "where" }, outcome === "overruled" ? `${where}, overruled` : where)),
  );
  return element("table", {}, element("tbody", {}, ...rows));
}

const someNode = (is) => () => DATA.graphs.some((graph) => graph.nodes.some(is));
const changed = (change) => someNode((node) => node[CHANGE] === change);
const KEY = [
  ['<path class="edge" d="M2 8H38"/>', "a value, with its shape", () => true],
  ['<path class="edge skip" d="M2 8H38"/>', "a skip connection: it goes past other layers", () => DATA.graphs.some((graph) => graph.edges.some((edge) => edge[SKIPS]))],
  ['<g class="frozen"><rect class="box" x="4" y="1" width="32" height="14" rx="4"/></g>', "frozen", someNode((node) => node[MARKS].includes("frozen"))],
  ['<g class="placed"><rect class="box" x="4" y="1" width="32" height="14" rx="4"/></g>', "placed on a device, or of another dtype", someNode((node) => markClasses(node).includes("placed"))],
  ['<g class="s0"><path class="tie" d="M2 8H38"/><circle class="tied" cx="6" cy="8" r="4"/></g>', "shared parameters: one colour each", () => DATA.shared.length > 0],
];
const CHANGES = [
  ['<g class="node is-added"><rect class="box" x="4" y="1" width="32" height="14" rx="4"/></g>', "added", changed("added")],
  ['<g class="node is-removed"><rect class="box" x="4" y="1" width="32" height="14" rx="4"/></g>', "removed", changed("removed")],
  ['<g class="node is-changed"><rect class="box" x="4" y="1" width="32" height="14" rx="4"/></g>', "changed", changed("changed")],
  ['<g class="node is-inside"><rect class="box" x="4" y="1" width="32" height="14" rx="4"/></g>', "something inside changed", changed("inside")],
];

function start() {
  const lines = (DATA.compared ? [...CHANGES, ...KEY] : KEY).filter(([, , isThere]) => isThere());
  const key = element("div", { className: "key" });
  key.innerHTML = lines.map(([sign, text]) => `<svg viewBox="0 0 40 16" class="picture" aria-hidden="true">${sign}</svg><span>${text}</span>`).join("");
  byId("details").replaceChildren(
    element("h2", {}, DATA.title),
    element("p", { className: "note" }, "Click the head of a box to open or close it. Arrow keys go from box to box, Enter opens."),
    key,
    element("p", { className: "note" }, "The search takes selectors, as rules have them: "),
    element("ul", {}, ...["Linear", "*.bias", "/**"].map((text) => element("li", {}, example(text)))),
  );
}

function example(text) {
  const button = element("button", { type: "button", className: "path" }, text);
  button.addEventListener("click", () => {
    byId("selector").value = text;
    byId("search").requestSubmit();
  });
  return button;
}

// --- beginning ---

byId("facts").textContent = `${grouped(DATA.parameters)} parameters in ${plural(DATA.modules.length, "module")}`;
byId("picture").addEventListener("click", clicked);
byId("picture").addEventListener("keydown", pressed);
byId("picture").addEventListener("focusin", (event) => {
  const node = event.target.closest(".node");
  if (node) state.focused = node.dataset.key;
});
byId("search").addEventListener("submit", search);
byId("in").addEventListener("click", () => zoom(1.25));
byId("out").addEventListener("click", () => zoom(0.8));
byId("fit").addEventListener("click", () => ((state.fitted = true), scale()));
byId("close").addEventListener("click", () => (picture.opened.clear(), draw()));
window.addEventListener("resize", () => state.fitted && scale());
start();
draw();
