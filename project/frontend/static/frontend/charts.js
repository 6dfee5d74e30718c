// Bar charts: lists with the figures as text, for screen readers too.

import { element, withShare } from "./dom.js";
import { formatMoney, messages } from "./i18n.js";

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
export const horizontalBars = (rows) => barChart("bars", rows);

/** Vertical bars, for a time series. */
export const verticalBars = (rows) => barChart("columns", rows);
