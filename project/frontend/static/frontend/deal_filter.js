// Filters of deals: from the state to GraphQL, and changes of the state that narrow or widen them.

import { endOf, startOfNext } from "./periods.js";
import { getState } from "./state.js";

const names = (values) => (values.length > 1 ? { in: values } : { eq: values[0] });

function dates({ from, to }) {
  const range = {};
  if (from) range.gte = `${from}T00:00:00Z`;
  if (to) range.lt = `${startOfNext(to, "day")}T00:00:00Z`;
  return range;
}

/**
 * Return the GraphQL filter of the deals that the state selects; null for all deals. Without one of the dimensions
 * "customer", "gem" and "date", it selects the deals of a facet or chart in which the reader chooses its values.
 */
export function dealFilter(state, without = "") {
  const filter = {};
  if (state.customer.length && without !== "customer") filter.customer = names(state.customer);
  if (state.gem.length && without !== "gem") filter.gem = names(state.gem);
  if ((state.from || state.to) && without !== "date") filter.date = dates(state);
  if (state.search) filter.OR = [{ customer: { iContains: state.search } }, { gem: { iContains: state.search } }];
  return Object.keys(filter).length ? filter : null;
}

/** Changes of the state that remove all filters of deals. */
export const ALL_DEALS = { customer: [], gem: [], from: "", to: "", search: "" };

/** Changes that show exactly these deals: `dealsOf({ gem: ["Рубин"] })`. */
export const dealsOf = (changes) => ({ ...ALL_DEALS, ...changes });

/** Changes that add a value to a list of the state, or remove it. */
export function toggled(key, value) {
  const values = getState()[key];
  return { [key]: values.includes(value) ? values.filter((other) => other !== value) : [...values, value] };
}

/** Return the first and the last day of a month. */
export const monthRange = (first) => ({ from: first, to: endOf(first, "month") });

/** Return the first day of the month that `from` and `to` span; "" for any other range. */
export function monthOf({ from, to }) {
  return from.endsWith("-01") && monthRange(from).to === to ? from : "";
}
