// Links that change the state: with an address to copy or to open in a new tab, and without a request when clicked.

import { byId, element, svg } from "./dom.js";
import { subscribe, update, urlOf } from "./state.js";

const attributes = (changes, target) => ({
  href: urlOf(changes, target),
  "data-changes": JSON.stringify(changes),
  "data-target": target || null,
});

/** Return a link with more attributes that changes the state, and moves to the section with the id `target`, if any. */
export const styledLink = (changes, target, more, ...children) =>
  element("a", { ...attributes(changes, target), ...more }, ...children);

export const stateLink = (changes, target, ...children) => styledLink(changes, target, {}, ...children);

/** Return such a link around elements of an SVG picture. */
export const stateLinkSvg = (changes, target, ...children) => svg("a", attributes(changes, target), ...children);

/** Scroll to a section and focus its heading, from which screen readers go on reading. */
export function reveal(id) {
  const section = byId(id);
  const heading = section?.querySelector("h2, h3");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  section.scrollIntoView();
}

const opensElsewhere = (event) => event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;

function follow(event) {
  const link = event.target.closest("[data-changes]");
  if (!link || opensElsewhere(event)) return;
  event.preventDefault();
  const { changes, target = "" } = link.dataset;
  update(JSON.parse(changes), { target });
  if (target) reveal(target);
}

/** Update the addresses of links outside of the cards, which are not drawn again. */
function updateAddresses() {
  for (const link of document.querySelectorAll("[data-changes]")) {
    link.setAttribute("href", urlOf(JSON.parse(link.dataset.changes), link.dataset.target));
  }
}

export function startNavigation() {
  document.addEventListener("click", follow);
  subscribe(updateAddresses);
}
