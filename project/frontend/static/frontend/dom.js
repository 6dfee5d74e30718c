// Helpers that create and find elements. Names from a file are only ever inserted as text, never as HTML.

/** `element("p", {class: "x", onclick: f}, "text", child)`: attributes, listeners and children. */
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

/** Set the length of a bar, from 0 to 1. The Content-Security-Policy forbids style attributes. */
export function withShare(bar, share) {
  bar.style.setProperty("--share", String(share));
  return bar;
}

export const byId = (id) => document.getElementById(id);

export function show(id, ...children) {
  byId(id).replaceChildren(...children);
}
