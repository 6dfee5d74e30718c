// DOM helpers. Names from a file are inserted as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Event handlers of the created elements, which `redraw` moves to the elements that it keeps. */
const handlers = new WeakMap();

/** Fields whose text was typed, but is not in the state yet; `redraw` does not overwrite it. */
export const edited = new WeakSet();

/** Return the key of a value in the storage of the browser, which other applications of the same host use too. */
export const storageKey = (name) => new URL(name, document.baseURI).pathname;

export const byId = (id) => document.getElementById(id);

/** Create an element with attributes, handlers and children: `element("p", {class: "x", onclick: f}, "text", child)`. */
export const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** Create an SVG element in the same way. */
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function fill(created, attributes, children) {
  const own = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) own[name] = created[name] = value;
    else if (value === true) created.setAttribute(name, "");
    else if (value !== false && value != null) created.setAttribute(name, value);
  }
  handlers.set(created, own);
  created.append(...children.flat().filter((child) => child != null));
  return created;
}

/** Replace the children of an element. */
export function show(id, ...children) {
  byId(id).replaceChildren(...children);
}

/**
 * Change the children of a container, an element or its id, into the given ones. Children with the same tag and `key`,
 * or without a key in the same order, are kept and updated: they keep the focus, the caret, the scroll position, and
 * whether they are open.
 */
export function redraw(container, ...children) {
  const parent = typeof container === "string" ? byId(container) : container;
  const focused = document.activeElement;
  patchChildren(parent, children.flat().filter((child) => child != null));
  // A moved element loses the focus.
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

const kind = (node) => `${node.nodeName} ${node.nodeType === Node.ELEMENT_NODE ? (node.getAttribute("key") ?? "") : ""}`;

function patchChildren(parent, children) {
  const old = grouped(parent.childNodes);
  let position = parent.firstChild;
  for (const child of children) {
    const next = typeof child === "object" ? child : document.createTextNode(child);
    const kept = old.get(kind(next))?.shift();
    if (kept) patch(kept, next);
    const placed = kept ?? next;
    if (placed === position) position = position.nextSibling;
    else parent.insertBefore(placed, position);
  }
  for (const nodes of old.values()) for (const node of nodes) node.remove();
}

/** Group nodes by kind, in their order. */
function grouped(nodes) {
  const groups = new Map();
  for (const node of nodes) {
    if (!groups.has(kind(node))) groups.set(kind(node), []);
    groups.get(kind(node)).push(node);
  }
  return groups;
}

function patch(kept, next) {
  if (kept.nodeType !== Node.ELEMENT_NODE) {
    if (kept.data !== next.data) kept.data = next.data;
    return;
  }
  patchAttributes(kept, next);
  patchHandlers(kept, next);
  const { value, checked } = next; // a <select> loses its value with its options
  patchChildren(kept, [...next.childNodes]);
  if (value !== undefined && !edited.has(kept) && kept.value !== value) kept.value = value;
  if (checked !== undefined) kept.checked = checked;
}

function patchAttributes(kept, next) {
  for (const { name } of [...kept.attributes]) {
    // The reader opens and closes <details>.
    if (!next.hasAttribute(name) && name !== "open") kept.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name === "style") kept.style.cssText = next.style.cssText; // the Content Security Policy forbids the attribute
    else if (kept.getAttribute(name) !== value) kept.setAttribute(name, value);
  }
}

function patchHandlers(kept, next) {
  const [old, own] = [handlers.get(kept) ?? {}, handlers.get(next) ?? {}];
  for (const name of Object.keys(old)) if (!(name in own)) kept[name] = null;
  Object.assign(kept, own);
  handlers.set(kept, own);
}
