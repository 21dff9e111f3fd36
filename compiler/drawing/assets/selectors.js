// Selectors as rules have them. The same language is read by `spec_schema/selectors.py`, and tests compare the two.
"use strict";

class SelectorFault extends Error {}

const PART = /(?:\{[^{}]*\}|\[(?:[^\[\]]|\[[^\[\]]*\])*\]|[^.\[\]{}])+/gu;
const BRACKETS = "\\[((?:[^\\[\\]]|\\[[^\\[\\]]*\\])*)\\]";
const TOKENS = new RegExp(`\\*|\\?|\\{([\\p{L}\\p{N}_,\\-]+)\\}|${BRACKETS}|([\\p{L}\\p{N}_\\-]+)`, "yu");
const RANGE = /^(\d+)-(\d+)$/;
const LETTERS = /^(!?)((?:\p{L}-\p{L}|\p{L})+)$/u;

function fault(message) {
  throw new SelectorFault(message);
}

// A component is null for `**`, a function of a name, or an object with the numbers of an index.
function parseSelector(text, variables = {}) {
  const trimmed = text.trim();
  const anchored = trimmed.startsWith("/");
  const body = anchored ? trimmed.slice(1) : trimmed;
  if (body === "") return anchored ? { pattern: [] } : fault("it is empty");
  const parts = body.match(PART) || [];
  if (parts.join(".") !== body) fault("a component is empty, or a bracket is not closed");
  const components = parts.flatMap((part) => componentsOf(part, variables));
  return { pattern: anchored ? components : [null, ...components] };
}

function componentsOf(part, variables) {
  const length = nameLength(part);
  const name = part.slice(0, length);
  const found = [name === "**" ? null : componentOf(name)];
  let at = length;
  while (at < part.length) {
    const brackets = new RegExp(BRACKETS, "yu");
    brackets.lastIndex = at;
    const match = brackets.exec(part);
    if (match === null) fault(`\`${part.slice(at)}\` stands behind an index`);
    found.push({ numbers: indexOf(match[1], variables) });
    at = brackets.lastIndex;
  }
  return found;
}

function nameLength(part) {
  for (const brackets of part.matchAll(new RegExp(BRACKETS, "gu"))) {
    if (brackets.index > 0 && !isClass(brackets[1])) return brackets.index;
  }
  return part.length;
}

function isClass(inside) {
  if (RANGE.test(inside) || inside.startsWith("!")) return true;
  if (!inside.includes("-")) return false;
  try {
    return bracketOf(inside) !== null;
  } catch (error) {
    return false;
  }
}

function indexOf(inside, variables) {
  const parts = inside.split(":");
  if (parts.length > 3 || !inside.trim()) fault(`\`[${inside}]\` is neither an index nor a slice`);
  const numbers = parts.map((part) => (part.trim() ? numberOf(part, variables) : null));
  if (numbers.length === 3 && numbers[2] === 0) fault("the step of a slice is 0");
  return numbers;
}

function numberOf(text, variables) {
  const terms = text.replace(/\s+/g, "").match(/[+-]?[^+-]+/g) || [];
  return terms.reduce((sum, term) => {
    const sign = term.startsWith("-") ? -1 : 1;
    const word = term.replace(/^[+-]/, "");
    const value = /^\d+$/.test(word) ? Number(word) : variables[word];
    if (!Number.isInteger(value)) fault(`\`${word}\` is no number that is known here`);
    return sum + sign * value;
  }, 0);
}

function componentOf(part) {
  if ((part.match(/\*/g) || []).length > 4) fault(`\`${part}\` has more than 4 \`*\``);
  let pattern = "", at = 0;
  while (at < part.length) {
    TOKENS.lastIndex = at;
    const token = TOKENS.exec(part);
    if (token === null) fault(`\`${part.slice(at)}\` has no meaning in it`);
    pattern += tokenPattern(token);
    at = TOKENS.lastIndex;
  }
  return new RegExp(`^(?:${pattern})$`, "u");
}

function tokenPattern(token) {
  if (token[0] === "*") return ".*";
  if (token[0] === "?") return ".";
  if (token[1] !== undefined) {
    const choices = token[1].split(",");
    for (const choice of choices) if (RANGE.test(choice)) fault(`\`${choice}\` in braces is no range of numbers`);
    return `(?:${choices.map(quoted).join("|")})`;
  }
  return token[2] !== undefined ? bracketOf(token[2]) : quoted(token[3]);
}

const quoted = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

function bracketOf(inside) {
  const numbers = RANGE.exec(inside), letters = LETTERS.exec(inside);
  if (numbers !== null) return rangeOf(numbers[1], numbers[2]);
  if (letters !== null) return lettersOf(letters[1], letters[2]);
  if (/^\d$/.test(inside)) return inside;
  return fault(`\`[${inside}]\` is neither a range of numbers, as \`[10-12]\`, nor letters, as \`[abc]\``);
}

function rangeOf(low, high) {
  if (Math.max(low.length, high.length) > 9) fault("a number has more than 9 digits");
  for (const each of [low, high]) if (each.length > 1 && each[0] === "0") fault(`\`${each}\` begins with a zero`);
  if (Number(low) > Number(high)) fault(`the range \`[${low}-${high}]\` is empty`);
  const ways = [];
  for (let digits = low.length; digits <= high.length; digits++) {
    const least = digits === low.length ? low : "1".padEnd(digits, "0");
    ways.push(ofOneLength(least, digits === high.length ? high : "9".repeat(digits)));
  }
  return `(?:${ways.join("|")})`;
}

function ofOneLength(low, high) {
  if (low === "") return "";
  if (low[0] === high[0]) return low[0] + ofOneLength(low.slice(1), high.slice(1));
  const rest = low.length - 1, ways = [];
  let first = Number(low[0]), last = Number(high[0]);
  if (low.slice(1) !== "0".repeat(rest)) ways.push(`${first++}${ofOneLength(low.slice(1), "9".repeat(rest))}`);
  if (high.slice(1) !== "9".repeat(rest)) ways.push(`${last--}${ofOneLength("0".repeat(rest), high.slice(1))}`);
  if (first <= last) ways.push(`[${first}-${last}]` + "[0-9]".repeat(rest));
  return `(?:${ways.join("|")})`;
}

function lettersOf(negation, letters) {
  for (const [, low, high] of letters.matchAll(/(\p{L})-(\p{L})/gu)) {
    if (low > high) fault(`the range \`[${low}-${high}]\` is empty`);
    if ((low !== low.toLowerCase()) !== (high !== high.toLowerCase())) fault(`between \`${low}\` and \`${high}\` there are other signs than letters`);
  }
  return `[${negation.replace("!", "^")}${letters}]`;
}

// --- matching ---

// A step is [name, type, place or null, type of what is extended]; what is reached is a sorted list of places.
function startOf(selector) {
  return withStars(selector.pattern, [0]);
}

const isEnd = (selector, places) => places.includes(selector.pattern.length);

function beyond(selector, places, [name, kind, at, base]) {
  const found = [];
  for (const place of places) {
    if (place === selector.pattern.length) continue;
    const part = selector.pattern[place];
    if (part === null || name === "") found.push(place);
    if (part === null) continue;
    if (part.numbers !== undefined ? isChosen(part.numbers, at) : fits(part, name, [kind, base])) found.push(place + 1);
  }
  return withStars(selector.pattern, found);
}

function fits(part, name, kinds) {
  if (name === "") return !part.test("") && kinds.some((kind) => kind && part.test(kind));
  return [name, ...kinds].some((each) => each && part.test(each));
}

function isChosen(numbers, place) {
  if (!place) return false;
  const [at, count] = place;
  if (numbers.length === 1) return at === (numbers[0] < 0 ? numbers[0] + count : numbers[0]);
  const [start, stop, step] = sliceOf(numbers, count);
  const steps = (at - start) / step;
  return Number.isInteger(steps) && steps >= 0 && (step > 0 ? at < stop : at > stop);
}

function sliceOf([first, last, given = null], count) {
  const step = given === null ? 1 : given;
  const low = step > 0 ? 0 : -1, high = step > 0 ? count : count - 1;
  const inside = (value) => Math.min(Math.max(value < 0 ? value + count : value, low), high);
  return [first === null ? (step > 0 ? low : high) : inside(first), last === null ? (step > 0 ? high : low) : inside(last), step];
}

function withStars(pattern, places) {
  const found = new Set();
  for (let place of places) {
    found.add(place);
    while (place < pattern.length && pattern[place] === null) found.add(++place);
  }
  return [...found].sort((a, b) => a - b);
}

// Whether a selector ends exactly at a path, and whether it names the path or a module around it.
function namesPath(selector, path) {
  return isEnd(selector, path.reduce((at, step) => beyond(selector, at, step), startOf(selector)));
}

function matchesPath(selector, path) {
  let at = startOf(selector);
  for (const step of path) {
    if (isEnd(selector, at)) return true;
    at = beyond(selector, at, step);
  }
  return isEnd(selector, at);
}
