// DOM helpers. Names from a file are inserted as text, never as HTML.

/** Return the key of a value in the storage of the browser, which other applications of the same host use too. */
export const storageKey = (name) => new URL(name, document.baseURI).pathname;

/** Create an element with attributes, listeners and children: `element("p", {class: "x", onclick: f}, "text", child)`. */
export function element(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) created.addEventListener(name.slice(2), value);
    else if (value === true) created.setAttribute(name, "");
    else if (value !== false && value != null) created.setAttribute(name, value);
  }
  created.append(...children.filter((child) => child != null));
  return created;
}

/** Set the relative length of a bar, from 0 to 1. The Content Security Policy forbids style attributes. */
export function withShare(bar, share) {
  bar.style.setProperty("--share", String(share));
  return bar;
}

export const byId = (id) => document.getElementById(id);

/** Replace the children of an element. */
export function show(id, ...children) {
  byId(id).replaceChildren(...children);
}
