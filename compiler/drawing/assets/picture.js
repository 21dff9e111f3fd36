// The picture of a model: laid out by ELK, and written as SVG. It needs no browser: `draw -o net.svg` runs it too.
"use strict";

const KIND = 0, LABEL = 1, TYPE = 2, PATH = 3, INSIDE = 4, MARKS = 5, PARAMETERS = 6, COPIES = 7, CHANGE = 8;
const SOURCE = 0, TARGET = 1, SHAPE = 2, SKIPS = 3, EDGE_CHANGE = 4;
const HEADER = 38, PADDING = 14, GUTTER = 64, LETTER = 8, MONO = 6.7;
const OPTIONS = {
  "elk.algorithm": "layered",
  "elk.direction": "DOWN",
  "elk.edgeRouting": "ORTHOGONAL",
  "elk.padding": "[top=8,left=8,bottom=8,right=8]",
  "elk.spacing.nodeNode": "22",
  "elk.spacing.edgeNode": "14",
  "elk.spacing.edgeEdge": "10",
  "elk.spacing.edgeLabel": "4",
  "elk.layered.spacing.nodeNodeBetweenLayers": "13",
  "elk.layered.spacing.edgeNodeBetweenLayers": "9",
  "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES",
  "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
  "elk.layered.nodePlacement.favorStraightEdges": "true",
};

const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

class Picture {
  // `data` is what the compiler knows; `opened` are the keys of the boxes that are open: `5/1`, the numbers of nodes.
  constructor(data, opened, elk) {
    this.data = data;
    this.opened = new Set(opened);
    this.elk = elk;
    this.laidOut = new Map();
  }

  // --- sizes and places ---

  isOpen(key, node) {
    return node[INSIDE] !== null && this.opened.has(key);
  }

  // What a graph looks like follows from it and from what is open in it: equal blocks are laid out once.
  form(number, key) {
    const parts = this.data.graphs[number].nodes.map((node, at) => {
      const inner = key === "" ? String(at) : `${key}/${at}`;
      return this.isOpen(inner, node) ? `${at}(${this.form(node[INSIDE], inner)})` : "";
    });
    return `${number}:${parts.join("")}`;
  }

  async layout(number, key = "") {
    const form = this.form(number, key);
    if (!this.laidOut.has(form)) this.laidOut.set(form, await this.layoutNew(number, key));
    return this.laidOut.get(form);
  }

  async layoutNew(number, key) {
    const graph = this.data.graphs[number];
    const inside = new Map();
    const children = [];
    for (const [at, node] of graph.nodes.entries()) {
      const inner = key === "" ? String(at) : `${key}/${at}`;
      let size = closedSize(node);
      if (this.isOpen(inner, node)) {
        const body = await this.layout(node[INSIDE], inner);
        inside.set(at, body);
        size = {
          width: Math.max(body.width, headerWidth(node)) + 2 * PADDING,
          height: body.height + HEADER + PADDING,
        };
      }
      children.push({ id: `n${at}`, ...size });
    }
    const edges = graph.edges.map((edge, at) => ({
      id: `e${at}`,
      sources: [`n${edge[SOURCE]}`],
      targets: [`n${edge[TARGET]}`],
      labels: isLabelled(graph, at) ? [labelOf(edge)] : [],
    }));
    const placed = await this.elk.layout({ id: "root", layoutOptions: OPTIONS, children, edges });
    return { number, width: placed.width, height: placed.height, nodes: placed.children, edges: placed.edges, inside };
  }

  // --- SVG ---

  async svg({ interactive = false } = {}) {
    const body = await this.layout(this.data.root);
    this.boxes = new Map();
    const drawn = this.graph(body, "", "", 0, 0, 1, interactive);
    const ties = this.ties(body.width);
    const { left, right } = ties.room;
    const width = Math.ceil(body.width + left + right), height = Math.ceil(body.height);
    const role = interactive ? 'role="tree"' : 'role="img"';
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" ${role} aria-label="${escaped(this.data.title)}" class="picture" ` +
      `width="${width}" height="${height}" viewBox="${-left} 0 ${width} ${height}">` +
      (interactive ? "" : `<style>${this.data.style}</style><rect class="ground" x="${-left}" width="100%" height="100%"/>`) +
      ARROWS + ties.lines + drawn + ties.ends + "</svg>"
    );
  }

  graph(body, key, prefix, x, y, level, interactive) {
    const graph = this.data.graphs[body.number];
    const edges = body.edges.map((edge, at) => edgeText(edge, graph.edges[at])).join("");
    const nodes = body.nodes
      .map((placed, at) => {
        const inner = key === "" ? String(at) : `${key}/${at}`;
        return this.node(graph.nodes[at], placed, body.inside.get(at), inner, prefix, x, y, level, interactive);
      })
      .join("");
    return `<g class="edges" aria-hidden="true">${edges}</g>${nodes}`;
  }

  node(node, placed, body, key, prefix, x, y, level, interactive) {
    const path = node[PATH] === null ? prefix : [prefix, node[PATH]].filter(Boolean).join(".");
    const box = { key, node, path, prefix, x: x + placed.x, y: y + placed.y, width: placed.width, height: placed.height };
    this.boxes.set(key, box);
    const open = body !== undefined;
    const classes = ["node", node[KIND], level > 1 ? "inner" : "", open ? "open" : "", ...markClasses(node), node[CHANGE] ? `is-${node[CHANGE]}` : ""];
    const reader = interactive
      ? ` role="treeitem" tabindex="-1" aria-level="${level}" aria-label="${escaped(spoken(node))}"` +
        (node[INSIDE] === null ? "" : ` aria-expanded="${open}"`)
      : "";
    const inner = open
      ? `<g${interactive ? ' role="group"' : ""} transform="translate(${(placed.width - body.width) / 2} ${HEADER})">` +
        this.graph(body, key, path, box.x + (placed.width - body.width) / 2, box.y + HEADER, level + 1, interactive) +
        "</g>"
      : "";
    return (
      `<g class="${classes.filter(Boolean).join(" ")}" data-key="${key}" ` +
      `transform="translate(${round(placed.x)} ${round(placed.y)})"${reader}>${boxText(node, placed, open)}${inner}</g>`
    );
  }

  // --- where a module is ---

  // Return the keys of the boxes that lead to a module or tensor, the outermost first.
  trail(path) {
    const found = [];
    let number = this.data.root, key = "", rest = path;
    while (rest !== "") {
      const step = this.step(number, rest);
      if (step === null) break;
      for (const at of step.way) {
        key = key === "" ? String(at) : `${key}/${at}`;
        found.push(key);
      }
      if (step.inside === null) break;
      number = step.inside;
      rest = step.rest;
    }
    return found;
  }

  step(number, rest) {
    for (const [at, node] of this.data.graphs[number].nodes.entries()) {
      if (node[KIND] === "row") {
        const inside = this.step(node[INSIDE], rest);
        if (inside !== null) return { ...inside, way: [at, ...inside.way] };
      }
      for (const name of node[COPIES].length ? node[COPIES] : [node[PATH]]) {
        if (name && (rest === name || rest.startsWith(`${name}.`))) {
          return { way: [at], inside: node[INSIDE], rest: rest.slice(name.length + 1) };
        }
      }
    }
    return null;
  }

  // --- what is shared ---

  ties(width) {
    const lines = [], ends = [], room = { left: 0, right: 0 };
    for (const [number, names] of this.data.shared.entries()) {
      const boxes = new Set();
      for (const name of names) {
        const shown = this.trail(name).filter((key) => this.boxes.has(key));
        if (shown.length) boxes.add(shown[shown.length - 1]);
      }
      if (boxes.size < 2) continue;
      const tie = this.tie([...boxes].map((key) => this.boxes.get(key)), number, names, width);
      lines.push(...tie.lines);
      ends.push(...tie.ends);
      room[tie.side] = GUTTER;
    }
    const layer = (parts) => `<g class="ties" aria-hidden="true">${parts.join("")}</g>`;
    return { lines: layer(lines), ends: layer(ends), room };
  }

  tie(boxes, number, names, width) {
    const colour = `s${number % 6}`;
    const title = `<title>${escaped(`shared: ${names.slice(0, 8).join(" = ")}`)}</title>`;
    const { side, ways } = this.ways(boxes, 14 + 12 * (number % 4), width);
    const lines = ways.slice(1).map(
      (way, at) => `<path class="tie ${colour}" d="${rounded([...ways[at], ...way.slice().reverse()])}">${title}</path>`,
    );
    const dot = ([x, y]) => `<circle class="tied ${colour}" cx="${round(x)}" cy="${round(y)}" r="4.5">${title}</circle>`;
    return { lines, ends: ways.map((way) => dot(way[0])), side };
  }

  // Lines that leave boxes for the margin of one side, behind no other box: straight ones, or round a corner.
  ways(boxes, distance, width) {
    const margin = { right: width + distance, left: -distance };
    for (const made of [straight, bent]) {
      for (const side of ["right", "left"]) {
        const ways = boxes.map((box) => made(box, side, margin[side]).find((way) => this.isFree(way, box)));
        if (ways.every(Boolean)) return { side, ways };
      }
    }
    return { side: "right", ways: boxes.map((box) => straight(box, "right", margin.right)[0]) };
  }

  isFree(way, own) {
    const around = (box) => `${own.key}/`.startsWith(`${box.key}/`);
    const others = [...this.boxes.values()].filter((box) => !around(box));
    return way.slice(1).every((end, at) => !others.some((box) => meets(box, way[at], end)));
  }
}

// --- what is shared ---

function straight(box, side, margin) {
  const x = side === "right" ? box.x + box.width : box.x;
  const usual = Math.min(box.height / 2, 20);
  return [usual, 10, box.height - 10, box.height / 2].map((y) => [[x, box.y + y], [margin, box.y + y]]);
}

// Above or below the boxes beside it.
function bent(box, side, margin) {
  const x = side === "right" ? box.x + box.width - 14 : box.x + 14;
  const corners = [5, 8, 12, 18, 26, 40, 60].flatMap((away) => [[box.y + box.height, away], [box.y, -away]]);
  return [...straight(box, side, margin), ...corners.map(([y, away]) => [[x, y], [x, y + away], [margin, y + away]])];
}

// Whether a level or upright line meets a box that is not its own.
function meets(box, [x, y], [a, b]) {
  const near = 2;
  return (
    Math.max(x, a) > box.x - near && Math.min(x, a) < box.x + box.width + near &&
    Math.max(y, b) > box.y - near && Math.min(y, b) < box.y + box.height + near
  );
}

// --- sizes ---

// How many copies a box stands for, unless its type says it, as that of a changed one does.
function times(node) {
  const count = node[COPIES].length;
  return count && !node[TYPE].endsWith(` × ${count}`) ? `×${count}` : "";
}
const second = (node) => [node[TYPE], ...node[MARKS]].filter(Boolean).join("  ");

function closedSize(node) {
  const label = node[LABEL].length * LETTER + (times(node) ? 12 + times(node).length * 9 : 0);
  switch (node[KIND]) {
    case "operation":
      return node[LABEL].length === 1 ? { width: 26, height: 26 } : { width: node[LABEL].length * MONO + 22, height: 26 };
    case "input":
    case "output":
      return node[LABEL] === "" ? { width: 12, height: 12 } : { width: Math.max(label, 24) + 22, height: 26 };
    case "tensor":
      return { width: node[LABEL].length * MONO + 22, height: 26 };
  }
  const wide = Math.max(label + (node[INSIDE] === null ? 0 : 18), second(node).length * MONO, 56);
  return { width: wide + 26, height: 44 };
}

const headerWidth = (node) => node[LABEL].length * LETTER + second(node).length * MONO + times(node).length * 9 + 62;

// The tensors of a node have a label once, on the edge to what comes next.
function isLabelled(graph, at) {
  const edge = graph.edges[at];
  if (!edge[SHAPE]) return false;
  const same = graph.edges.filter((other) => other[SOURCE] === edge[SOURCE] && other[SHAPE] === edge[SHAPE]);
  return (same.find((other) => !other[SKIPS]) || same[0]) === edge;
}

const labelOf = (edge) => ({ text: edge[SHAPE], width: edge[SHAPE].length * MONO * 0.92 + 4, height: 13 });
const round = (number) => Math.round(number * 10) / 10;

// --- parts of the SVG ---

const ARROWS =
  '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">' +
  '<path d="M0 0.8 L7.5 4 L0 7.2 z" class="arrow"/></marker>' +
  '<pattern id="hatched" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">' +
  '<rect class="hatch-ground" width="7" height="7"/><rect class="hatch" width="2" height="7"/></pattern></defs>';

function rounded(points) {
  let text = `M${round(points[0][0])} ${round(points[0][1])}`;
  for (let at = 1; at < points.length; at++) {
    const [x, y] = points[at];
    if (at === points.length - 1) return `${text}L${round(x)} ${round(y)}`;
    const before = towards(points[at], points[at - 1]), after = towards(points[at], points[at + 1]);
    text += `L${before}Q${round(x)} ${round(y)} ${after}`;
  }
  return text;
}

function towards([x, y], [a, b]) {
  const length = Math.hypot(a - x, b - y) || 1, step = Math.min(7, length / 2);
  return `${round(x + ((a - x) / length) * step)} ${round(y + ((b - y) / length) * step)}`;
}

function edgeText(placed, edge) {
  const classes = ["edge", edge[SKIPS] ? "skip" : "", edge[EDGE_CHANGE] ? `is-${edge[EDGE_CHANGE]}` : ""];
  const lines = (placed.sections || []).map((section) => {
    const points = [section.startPoint, ...(section.bendPoints || []), section.endPoint].map((p) => [p.x, p.y]);
    return `<path class="${classes.filter(Boolean).join(" ")}" d="${rounded(points)}" marker-end="url(#arrow)"/>`;
  });
  const labels = (placed.labels || []).map(
    (label) => `<text class="shape" x="${round(label.x + 2)}" y="${round(label.y + 10)}">${escaped(label.text)}</text>`,
  );
  return [...lines, ...labels].join("");
}

function boxText(node, placed, open) {
  const { width, height } = placed;
  const middle = round(width / 2);
  const title = `<title>${escaped(spoken(node))}</title>`;
  const frame = (radius) => `<rect class="box" width="${round(width)}" height="${round(height)}" rx="${radius}"/>`;
  const line = (text, y, name) => `<text class="${name}" x="${middle}" y="${y}">${escaped(text)}</text>`;
  switch (node[KIND]) {
    case "operation":
    case "tensor":
      return title + frame(node[KIND] === "tensor" ? 3 : 13) + line(node[LABEL], 17, node[LABEL].length === 1 ? "sign" : "word");
    case "input":
    case "output":
      return title + frame(13) + (node[LABEL] ? line(node[LABEL], 17, "value") : "");
  }
  const stacked = node[COPIES].length ? `<rect class="behind" x="5" y="5" width="${round(width)}" height="${round(height)}" rx="8"/>` : "";
  const count = times(node)
    ? `<text class="times" x="${round(width - 10)}" y="19">${times(node)}</text>`
    : "";
  const handle = node[INSIDE] === null ? "" : `<path class="handle" d="${open ? "M10 11l8 0l-4 6z" : "M11 10l6 4l-6 4z"}"/>`;
  if (open) {
    const label = `<text class="name" x="24" y="19">${escaped(node[LABEL])}<tspan class="type" dx="8">${escaped(second(node))}</tspan></text>`;
    return title + stacked + frame(8) + handle + label + count;
  }
  const shift = times(node) ? -(6 + times(node).length * 4) : 0;
  const name = `<text class="name middle" x="${round(middle + shift + (handle ? 6 : 0))}" y="19">${escaped(node[LABEL])}</text>`;
  return title + stacked + frame(8) + handle + name + line(second(node), 35, "type middle") + count;
}

const markClasses = (node) => node[MARKS].map((mark) => (/frozen/.test(mark) ? mark.replace(" ", "-") : "placed"));

function spoken(node) {
  const index = node[KIND] === "operation" && node[PATH] ? node[PATH] : "";
  const parts = [index, node[LABEL] || node[KIND], node[TYPE] || (node[LABEL] ? node[KIND] : "")];
  if (node[COPIES].length) parts.push(`${node[COPIES].length} copies`);
  if (node[PARAMETERS]) parts.push(`${grouped(node[PARAMETERS])} parameters`);
  return [...parts, ...node[MARKS], node[CHANGE] || ""].filter(Boolean).join(", ");
}
