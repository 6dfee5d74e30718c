// Bars. Each chart is a list with its figures in words, so that who cannot see it hears the same.

import { element, withShare } from "./dom.js";
import { money, words } from "./i18n.js";

const length = (digits) => Number(digits); // how long a bar is need not be exact to the cent

function bars(kind, rows) {
  const most = Math.max(...rows.map(({ total }) => length(total)), 1);
  return element(
    "ol",
    { class: kind },
    ...rows.map(({ label, total, dealCount }) =>
      element(
        "li",
        { title: `${label}: ${money(total)} (${words.dealsIn(dealCount)})` },
        element("span", { class: "label" }, label),
        withShare(element("span", { class: "bar", "aria-hidden": "true" }), length(total) / most),
        element("span", { class: "figure" }, money(total)),
      ),
    ),
  );
}

/** One under the other, for names. */
export const rowsOf = (rows) => bars("bars", rows);

/** Side by side, for what follows each other in time. */
export const columnsOf = (rows) => bars("columns", rows);
