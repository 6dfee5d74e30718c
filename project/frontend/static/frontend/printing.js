// Printing: the rows that the tables have not read yet are read first. The page imports this module at the first print.

import { showPreparation } from "./announcement.js";

/** Rows of each table that are read before the page is printed. */
const PRINTED_ROWS = 1000;

let isPreparing = false;

/** Print the page with all rows of the tables. Escape and a button cancel it while rows are read. */
export async function printAll(tables) {
  if (isPreparing) return;
  isPreparing = true;
  const controller = new AbortController();
  const { signal } = controller;
  const cancel = () => controller.abort();
  const cancelled = new Promise((resolve) => signal.addEventListener("abort", resolve));
  const onKey = ({ key }) => key === "Escape" && cancel();
  addEventListener("keydown", onKey);
  const rows = tables.reduce((sum, table) => sum + table.countRows(PRINTED_ROWS), 0);
  showPreparation({ rows, onCancel: cancel });
  try {
    await Promise.race([Promise.all(tables.map((table) => table.loadRows(PRINTED_ROWS, signal))), cancelled]);
  } finally {
    removeEventListener("keydown", onKey);
    isPreparing = false;
    showPreparation(null);
  }
  if (!signal.aborted) print();
}
