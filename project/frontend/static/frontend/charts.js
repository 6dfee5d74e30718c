// The charts of the page, which are drawn again whenever their width changes.

import { drawCards } from "./cards.js";
import { setPrinting } from "./chart_card.js";
import { rankingCard } from "./chart_ranking.js";
import { timeCard } from "./chart_timeline.js";
import { byId } from "./dom.js";

export const CHART_CARDS = [timeCard, rankingCard];

/** Draw the charts again after each change of their width, and before and after printing. */
export function startCharts() {
  const widths = new Map();
  const observer = new ResizeObserver((entries) => {
    const changed = entries.filter(({ target, contentRect }) => widths.get(target.id) !== contentRect.width);
    for (const { target, contentRect } of changed) widths.set(target.id, contentRect.width);
    if (changed.length) drawCards();
  });
  for (const { id } of CHART_CARDS) observer.observe(byId(id));
  matchMedia("print").addEventListener("change", drawCards);
  // Browsers need not report the change of the medium.
  for (const kind of ["beforeprint", "afterprint"]) {
    addEventListener(kind, () => {
      setPrinting(kind === "beforeprint");
      drawCards();
    });
  }
}
