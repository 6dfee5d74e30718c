// Bar charts. Each chart is a list that contains its figures as text, so screen readers read it too.

import { element, withShare } from "./dom.js";
import { formatMoney, messages } from "./i18n.js";

// The length of a bar may lose precision; the figures beside it are exact.
const length = (digits) => Number(digits);

function barChart(className, rows) {
  const longest = Math.max(...rows.map(({ total }) => length(total)), 1);
  return element(
    "ol",
    { class: className },
    ...rows.map(({ label, total, dealCount }) =>
      element(
        "li",
        { title: `${label}: ${formatMoney(total)} (${messages.countDeals(dealCount)})` },
        element("span", { class: "label" }, label),
        withShare(element("span", { class: "bar", "aria-hidden": "true" }), length(total) / longest),
        element("span", { class: "figure" }, formatMoney(total)),
      ),
    ),
  );
}

/** Horizontal bars, for names. */
export const horizontalBars = (rows) => barChart("bars", rows);

/** Vertical bars, for a time series. */
export const verticalBars = (rows) => barChart("columns", rows);
