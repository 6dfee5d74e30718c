// The facets of the deals: counts and totals per customer, gem and month, which filter when they are clicked. A facet
// ignores its own filter, so that another or a second value can be chosen.

import { ALL_DEALS, dealFilter, monthOf, monthRange, toggled } from "./deal_filter.js";
import { element } from "./dom.js";
import { stateField, stateForm } from "./fields.js";
import { formatDay, formatMonth, formatNumber, moneyFormat } from "./formats.js";
import { messages } from "./i18n.js";
import { stateLink, styledLink } from "./navigation.js";
import { DEALS_BY_CUSTOMER, DEALS_BY_GEM, DEALS_BY_MONTH } from "./operations.js";

/** Default of MAX_STATS_GROUPS. */
const ALL_ROWS = 1000;

/**
 * Return the card of a facet.
 *
 * - `id`: of its element, and its value in the list `facets` of the state
 * - `rows`: how many values it shows at first
 * - `value(stats, state)`: returns {label, changes, isSelected} of a group
 */
function facetCard({ id, rows, dimension, title, operation, value }) {
  return {
    id,
    query: (state, upload) => {
      const limit = state.facets.includes(id) ? ALL_ROWS : rows;
      return [operation, { upload: upload.id, filter: dealFilter(state, dimension), limit }];
    },
    controls: () => element("h3", { id: `${id}-title` }, title()),
    render: ({ dealStats: { nodes, totalCount } }, state) => {
      if (!nodes.length) return element("p", { class: "status" }, messages.nothingMatches);
      const format = moneyFormat(nodes.map(({ total }) => total));
      const items = nodes.map((stats) => facetItem(value(stats, state), stats, format));
      return [
        element("ul", { class: "facet", "aria-labelledby": `${id}-title` }, ...items),
        ...rest(id, rows, nodes.length, totalCount),
      ];
    },
  };
}

function facetItem({ label, changes, isSelected }, { dealCount, total }, format) {
  return element(
    "li",
    { key: label },
    styledLink(
      changes,
      "",
      { "aria-current": isSelected ? "true" : null },
      element("span", { class: "label" }, label),
      element("span", { class: "count" }, messages.countDeals(dealCount)),
      element("span", { class: "figure" }, format(total)),
    ),
  );
}

/** Return the link that shows all values, or the first ones only. */
function rest(id, rows, count, totalCount) {
  const changes = toggled("facets", id);
  if (count <= rows) return count < totalCount ? [stateLink(changes, "", messages.showAll(formatNumber(totalCount)))] : [];
  const note = count < totalCount ? `${messages.firstOf(formatNumber(count), formatNumber(totalCount))} ` : "";
  return [element("p", { class: "status" }, note, stateLink(changes, "", messages.showFewer))];
}

const nameOf = (key, name) => (stats, state) => {
  const label = name(stats);
  return { label, changes: toggled(key, label), isSelected: state[key].includes(label) };
};

export const FACETS = [
  facetCard({
    id: "customer-facet",
    rows: 8,
    dimension: "customer",
    title: () => messages.customers,
    operation: DEALS_BY_CUSTOMER,
    value: nameOf("customer", (stats) => stats.customer.username),
  }),
  facetCard({
    id: "gem-facet",
    rows: 8,
    dimension: "gem",
    title: () => messages.gems,
    operation: DEALS_BY_GEM,
    value: nameOf("gem", (stats) => stats.gem.name),
  }),
  facetCard({
    id: "month-facet",
    rows: 12,
    dimension: "date",
    title: () => messages.monthsUtc,
    operation: DEALS_BY_MONTH,
    value: ({ month }, state) => {
      const isSelected = monthOf(state) === month;
      return { label: formatMonth(month), changes: isSelected ? { from: "", to: "" } : monthRange(month), isSelected };
    },
  }),
];

// The form above the facets

/** Return the fields and the active filters of the deals. */
export function dealControls(state) {
  const chips = [
    ...state.customer.map((name) => chip(messages.customer, name, toggled("customer", name))),
    ...state.gem.map((name) => chip(messages.gem, name, toggled("gem", name))),
    ...periodChips(state),
  ];
  const isFiltered = chips.length || state.search;
  return [
    stateForm(
      messages.deals,
      stateField("search", "search", messages.searchDeals),
      stateField("from", "date", messages.from),
      stateField("to", "date", messages.until),
    ),
    element(
      "div",
      { class: "chips", id: "deals-chips" },
      ...chips,
      ...(isFiltered ? [stateLink(ALL_DEALS, "", messages.resetFilters)] : []),
    ),
  ];
}

function chip(title, name, changes) {
  const label = messages.removeFilter(`${title}: ${name}`);
  return styledLink(changes, "", { class: "chip", key: `${title} ${name}`, "aria-label": label, title: label }, name);
}

function periodChips(state) {
  if (!state.from && !state.to) return [];
  const [from, to] = [state.from, state.to].map((day) => (day ? formatDay(day) : "…"));
  const month = monthOf(state);
  return [chip(messages.date, month ? formatMonth(month) : `${from} – ${to}`, { from: "", to: "" })];
}
