// Fields of forms that change the state.

import { edited, element } from "./dom.js";
import { getState, update } from "./state.js";

const TYPING_PAUSE_MS = 300;
const timers = new Map();

/** Return a labelled field of one value of the state. The state changes after a pause in typing. */
export function stateField(name, type, label) {
  const onfield = ({ currentTarget }) => applySoon(name, currentTarget);
  const field = element("input", {
    id: `field-${name}`, name, type, value: getState()[name], autocomplete: "off", oninput: onfield, onchange: onfield,
  });
  return element("label", { key: name }, element("span", {}, label), field);
}

function applySoon(name, field) {
  edited.add(field);
  clearTimeout(timers.get(name));
  timers.set(name, setTimeout(() => {
    edited.delete(field);
    update({ [name]: field.value }, { replace: true });
  }, TYPING_PAUSE_MS));
}

/** Return a form of fields, which is not submitted. */
export const stateForm = (label, ...fields) =>
  element("form", { class: "filters", role: "search", "aria-label": label, onsubmit: (event) => event.preventDefault() }, ...fields);
