// Tables as files, and as tables in the clipboard.

import { element } from "./dom.js";
import { describeError } from "./errors.js";
import { decimalPoint, formatNumber } from "./formats.js";
import { token } from "./graphql_client.js";
import { messages } from "./i18n.js";
import { copy, showBriefly, statusButton } from "./share.js";

/** Rows of a table that are copied; files have all of them. */
const COPIED_ROWS = 1000;

/**
 * Return the links to a table as a file, and the button that copies its rows.
 *
 * - `url(format)`: the address of the file, or undefined if the service does not export the table
 * - `count`: the number of rows
 * - `readRows(onCount, limit)`: reads the first rows, or all without a limit; `onCount` receives how many there are so far
 */
export function exportLinks({ id, columns, url, count, readRows }) {
  const file = (format, label) =>
    url(format) ? downloadLink(url(format), label) : exportButton(id, columns, readRows, format, label);
  return [file("csv", "CSV"), file("ndjson", "NDJSON"), copyRowsButton(columns, count, readRows)];
}

// Files of the service

/** Return the address of an export. */
export function exportUrl(name, parameters) {
  const url = new URL(`api/exports/${name}`, document.baseURI);
  for (const [key, value] of Object.entries(parameters)) if (value != null) url.searchParams.set(key, value);
  return url.href;
}

/** Return a link to a file. Requests of links have no token, so with a token the file is fetched. */
export function downloadLink(url, label) {
  const onclick = (event) => {
    if (!token.get()) return;
    event.preventDefault();
    fetchFile(url);
  };
  return element("a", { href: url, download: true, onclick }, label);
}

async function fetchFile(url) {
  const response = await fetch(url, { headers: token.headers() });
  if (response.ok) save(await response.blob(), new URL(url).pathname.split("/").pop());
}

/** Save a file in the folder of downloads. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url));
}

// Files of tables that the service does not export

const TYPES = { csv: "text/csv", ndjson: "application/x-ndjson" };

function exportButton(id, columns, readRows, format, label) {
  const write = { csv: asCsv, ndjson: asNdjson }[format];
  const onclick = async ({ currentTarget }) => {
    const status = currentTarget.nextElementSibling;
    try {
      const rows = await readRows((count) => (status.textContent = messages.reading(formatNumber(count))));
      save(new Blob([write(columns, rows)], { type: TYPES[format] }), `${id}.${format}`);
      status.textContent = "";
    } catch (error) {
      status.textContent = describeError(error);
    }
  };
  return statusButton(label, onclick, "link");
}

// Tables in the clipboard

function copyRowsButton(columns, count, readRows) {
  const onclick = async ({ currentTarget }) => {
    const status = currentTarget.nextElementSibling;
    try {
      const rows = await readRows((read) => (status.textContent = messages.reading(formatNumber(read))), COPIED_ROWS);
      // Browsers forbid it some seconds after the click.
      if (copy(asTable(columns, rows))) showBriefly(status, messages.copiedRows(rows.length, count));
      else status.textContent = messages.copyAgain;
    } catch (error) {
      status.textContent = describeError(error);
    }
  };
  return statusButton(messages.copyTable, onclick, "link");
}

// Cells

/** The beginning of a formula in spreadsheets, as in the exports of the service. */
const FORMULA = /(^|;)([ \u00a0\u3000]*[-=+@\uff0d\uff1d\uff0b\uff20\ufe63\ufe66\ufe62\ufe6b\t\r])/g;

/** Insert an apostrophe before every character that could start a formula in a spreadsheet. */
export const neutralize = (name) => name.replace(FORMULA, "$1'$2");

const toCell = ({ type }, value) => {
  if (value == null) return "";
  if (type === "time") return value.replace("T", " ").replace("Z", "");
  return type === "name" ? neutralize(value) : String(value);
};

const quotedCell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Return lines of cells as CSV for spreadsheets, with a byte-order mark. */
export const writeCsv = (lines) => `\ufeff${lines.map((cells) => `${cells.map(quotedCell).join(",")}\r\n`).join("")}`;

/** Return rows as CSV. */
export const asCsv = (columns, rows) =>
  writeCsv([columns.map(({ key }) => key), ...rows.map((row) => columns.map((column) => toCell(column, column.value(row))))]);

/** Return rows as JSON objects, one per line. Amounts are numbers with all their digits. */
export function asNdjson(columns, rows) {
  const toJson = ({ type }, value) => (type === "money" && value != null ? value : JSON.stringify(value ?? null));
  const toLine = (row) => columns.map((column) => `${JSON.stringify(column.key)}:${toJson(column, column.value(row))}`);
  return rows.map((row) => `{${toLine(row).join(",")}}\n`).join("");
}

/** Return rows for the clipboard: as text for spreadsheets, and as HTML for word processors. */
export function asTable(columns, rows) {
  const toText = (column, value) =>
    column.type === "money" && value != null ? value.replace(".", decimalPoint()) : toCell(column, value);
  const cells = [
    columns.map(({ title }) => title()),
    ...rows.map((row) => columns.map((column) => toText(column, column.value(row)))),
  ];
  const table = element("table", {}, ...cells.map((row) => element("tr", {}, ...row.map((text) => element("td", {}, text)))));
  const text = cells.map((row) => row.map((cell) => cell.replace(/[\t\r\n]/g, " ")).join("\t")).join("\n");
  return { text, html: new XMLSerializer().serializeToString(table) };
}
