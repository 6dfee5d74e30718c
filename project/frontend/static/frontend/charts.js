// Bar charts of the shown deals: lists with the figures as text, for screen readers too.

import { dealFilter } from "./deal_filter.js";
import { element, withShare } from "./dom.js";
import { formatMoney, formatMonth } from "./formats.js";
import { messages } from "./i18n.js";
import { MONEY_BY_GEM, MONEY_BY_MONTH } from "./operations.js";

export const monthsCard = {
  id: "months",
  query: (state, upload) => [MONEY_BY_MONTH, { upload: upload.id, filter: dealFilter(state, "date") }],
  render: ({ dealStats }) =>
    verticalBars(dealStats.nodes.toReversed().map((stats) => ({ ...stats, label: formatMonth(stats.month) }))),
};

export const moneyByGemCard = {
  id: "money-by-gem",
  query: (state, upload) => [MONEY_BY_GEM, { upload: upload.id, filter: dealFilter(state, "gem") }],
  render: ({ dealStats }) => horizontalBars(dealStats.nodes.map((stats) => ({ ...stats, label: stats.gem.name }))),
};

function barChart(className, rows) {
  // The lengths of the bars are inexact, the figures are exact.
  const maximum = Math.max(...rows.map(({ total }) => Number(total)), 1);
  return element(
    "ol",
    { class: className },
    ...rows.map(({ label, total, dealCount }) =>
      element(
        "li",
        { title: `${label}: ${formatMoney(total)} (${messages.countDeals(dealCount)})` },
        element("span", { class: "label" }, label),
        withShare(element("span", { class: "bar", "aria-hidden": "true" }), Number(total) / maximum),
        element("span", { class: "figure" }, formatMoney(total)),
      ),
    ),
  );
}

/** Horizontal bars, for names. */
const horizontalBars = (rows) => barChart("bars", rows);

/** Vertical bars, for a time series. */
const verticalBars = (rows) => barChart("columns", rows);
