// Fields of forms that change the state.

import { edited, element } from "./dom.js";
import { getState, update } from "./state.js";

const TYPING_PAUSE_MS = 300;
const timers = new WeakMap();

/** Return a labelled field of one value of the state. The state changes after a pause in typing, or with the focus. */
export function stateField(name, type, label) {
  const field = element("input", {
    id: `field-${name}`, name, type, value: getState()[name], autocomplete: "off",
    oninput: ({ currentTarget }) => applySoon(currentTarget),
    onchange: ({ currentTarget }) => apply(currentTarget),
  });
  return element("label", { key: name }, element("span", {}, label), field);
}

function applySoon(field) {
  edited.add(field);
  clearTimeout(timers.get(field));
  timers.set(field, setTimeout(() => apply(field), TYPING_PAUSE_MS));
}

function apply(field) {
  clearTimeout(timers.get(field));
  if (edited.delete(field)) update({ [field.name]: field.value }, { replace: true });
}

/** Return a form of fields, which is not submitted. */
export const stateForm = (label, ...fields) =>
  element("form", { class: "filters", role: "search", "aria-label": label, onsubmit: (event) => event.preventDefault() }, ...fields);
