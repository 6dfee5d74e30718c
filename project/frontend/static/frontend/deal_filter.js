// Filters of deals: from the state to GraphQL, and changes of the state that narrow or widen them.

import { getState } from "./state.js";

const names = (values) => (values.length > 1 ? { in: values } : { eq: values[0] });

const DAY_MS = 24 * 60 * 60 * 1000;
const toDate = (day) => new Date(`${day}T00:00:00Z`);
const toDay = (date) => date.toISOString().slice(0, 10);
const daysLater = (day, days) => toDay(new Date(toDate(day).getTime() + days * DAY_MS));

function dates({ from, to }) {
  const range = {};
  if (from) range.gte = `${from}T00:00:00Z`;
  if (to) range.lt = `${daysLater(to, 1)}T00:00:00Z`;
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

/** Return the days of periods as {from, to}; a period is its first day. */
export const dayRange = (day) => ({ from: day, to: day });
export const weekRange = (monday) => ({ from: monday, to: daysLater(monday, 6) });

export function monthRange(first) {
  const [year, month] = first.split("-").map(Number);
  return { from: first, to: toDay(new Date(Date.UTC(year, month, 0))) };
}

/** Return the first day of the month that `from` and `to` span; "" for any other range. */
export function monthOf({ from, to }) {
  return from.endsWith("-01") && monthRange(from).to === to ? from : "";
}
