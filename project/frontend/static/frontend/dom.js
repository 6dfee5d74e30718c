// Elements, made of what they are. Text is only ever text, so no name in a file can be more than a name.

/** `element("p", {class: "x", onclick: f}, "text", other)`: attributes, listeners and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** How long a bar is, from 0 to 1; a style attribute would be against the page's policy. */
export function withShare(bar, share) {
  bar.style.setProperty("--share", String(share));
  return bar;
}

export const byId = (id) => document.getElementById(id);

export function show(id, ...children) {
  byId(id).replaceChildren(...children);
}
