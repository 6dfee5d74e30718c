// Tables of the rows of a GraphQL connection, which the service sorts and filters.

import { toHundredths } from "./amounts.js";
import { currentQuery, dataOf, drawCard } from "./cards.js";
import { element } from "./dom.js";
import { describeError } from "./errors.js";
import { exportLinks } from "./export.js";
import { dealTime, formatNumber, moneyFormat, withSign } from "./formats.js";
import { query } from "./graphql_client.js";
import { locale, messages } from "./i18n.js";
import { update } from "./state.js";

const NARROW = matchMedia("(max-width: 40rem)");
const firstRows = () => (NARROW.matches ? 10 : 20);
/** Default of MAX_PAGE_SIZE. */
const PAGE_ROWS = 100;

/** Pages after the first one, by the id of the table: {first, nodes, pageInfo, isLoading, error} after the data `first`. */
const laterPages = new Map();

/** Return the pages after the first one, which the result `first` contains. */
function pagesAfter(id, first) {
  if (laterPages.get(id)?.first !== first) laterPages.set(id, { first, nodes: [] });
  return laterPages.get(id);
}

/**
 * Return the card of a table.
 *
 * - `id`: the prefix of its values in the state: `${id}Order` and `${id}Columns`
 * - `operation`, `variables(state, upload)`: without $first, $after, $orderBy and $withTotals
 * - `connection(data)`: the rows in the result; `totals(data)`: {column: total} or null
 * - `columns`: [{key, title(), type, value(node), link(node, content), order, format(value), isDifference}], where `type`
 *   is "name", "text", "count", "money" or "time", and `order` an enum value without _ASC or _DESC
 * - `isSortedByPage`: whether the page sorts the rows, because the service does not; it does so when it has read all of them
 * - `rowKey(node)`: a string that identifies the row
 * - `rowCount(data)`, `countText(number)`: how many rows there are on all pages
 * - `exportUrl(format, state, upload)`: the address of the rows as a file, if the service exports them
 * - `controls(state)`, `isEmpty(data)`: as of a card
 */
export function tableCard(table) {
  const card = {
    id: table.id,
    query: (state, upload) => {
      const variables = table.variables(state, upload);
      return variables && [table.operation, { ...variables, ...orderOf(table, state), first: firstRows() }];
    },
    controls: (state) => [...(table.controls?.(state) ?? []), ...columnChoice(table, state)],
    isEmpty: table.isEmpty,
    render: (data, state) => {
      const later = pagesAfter(table.id, data);
      const { hasNextPage } = lastPage(table, data, later);
      const nodes = ordered(table, [...table.connection(data).nodes, ...later.nodes], hasNextPage, state);
      const columns = shownColumns(table, state);
      return [
        countLine(table, data, nodes.length),
        nodes.length ? tableElement(table, columns, nodes, table.totals?.(data), state, hasNextPage) : null,
        ...moreButton(card, table, data, later),
      ];
    },
    links: (data, state, upload) => {
      return exportLinks({
        id: table.id,
        columns: shownColumns(table, state),
        url: (format) => table.exportUrl?.(format, state, upload),
        count: Number(table.rowCount(data)),
        readRows: async (onCount, limit = Infinity) => {
          const { nodes, pageInfo } = await readRows(table, card, data, onCount, limit);
          return ordered(table, nodes, pageInfo.hasNextPage, state).slice(0, limit);
        },
      });
    },
    loadRows: (limit, signal) => loadRows(card, table, limit, signal),
    countRows: (limit) => (dataOf(card) ? Math.min(table.rowCount(dataOf(card)), limit) : 0),
  };
  return card;
}

const orderOf = ({ id, isSortedByPage }, state) => (`${id}Order` in state && !isSortedByPage ? { orderBy: state[`${id}Order`] } : {});

const shownColumns = ({ id, columns }, state) =>
  columns.filter(({ key }) => !(`${id}Columns` in state) || state[`${id}Columns`].includes(key));

// Rows

function countLine(table, data, shown) {
  const count = table.rowCount(data);
  const shownRows = table.isSortedByPage ? messages.shownRowsToSort : messages.shownRows;
  const range = shown < count ? ` ${shownRows(formatNumber(shown))}` : "";
  return element("p", { class: "status", role: "status" }, table.countText(count) + range);
}

function tableElement(table, columns, nodes, totals, state, hasNextPage) {
  const formats = columns.map((column) => cellFormat(column, nodes, totals));
  const isSortable = !(table.isSortedByPage && hasNextPage);
  const head = element("tr", { role: "row" }, ...columns.map((column) => headerCell(table, column, state, isSortable)));
  const rows = nodes.map((node) => rowElement(table, columns, formats, node));
  return element(
    "table",
    { role: "table", class: "rows", "aria-labelledby": `${table.id}-title` },
    element("thead", { role: "rowgroup" }, head),
    element("tbody", { role: "rowgroup" }, ...rows),
    totals ? element("tfoot", { role: "rowgroup" }, totalsRow(columns, formats, totals)) : null,
  );
}

const isNumeric = ({ type }) => type === "count" || type === "money";

/** Return the function that formats the values of a column. */
function cellFormat({ key, type, value, format, isDifference }, nodes, totals) {
  const amounts = () => [...nodes.map(value), totals?.[key]].filter((amount) => amount != null);
  const formats = { count: () => formatNumber, time: () => dealTime, money: () => moneyFormat(amounts()) };
  const own = format ?? formats[type]?.() ?? String;
  return isDifference ? withSign(own) : own;
}

function rowElement(table, columns, formats, node) {
  const cells = columns.map((column, index) => {
    const value = column.value(node);
    const content = value == null ? "—" : formats[index](value);
    const linked = value != null && column.link ? column.link(node, content) : content;
    return cell(column, column === columns[0] ? "th" : "td", linked);
  });
  return element("tr", { role: "row", key: table.rowKey(node) }, ...cells);
}

/** The name of the column precedes the value where the cells of a row are below each other. */
const cell = (column, tag, content) =>
  element(
    tag,
    {
      role: tag === "th" ? "rowheader" : "cell",
      scope: tag === "th" ? "row" : null,
      class: isNumeric(column) ? `numeric ${column.type}` : column.type,
      "data-title": column.title(),
    },
    content,
  );

function totalsRow(columns, formats, totals) {
  const cells = columns.map((column, index) => {
    if (!index) return cell(column, "th", messages.allRows);
    const total = totals[column.key];
    return cell(column, "td", total == null ? "" : formats[index](total));
  });
  return element("tr", { role: "row" }, ...cells);
}

function headerCell({ id }, column, state, isSortable) {
  const attributes = { role: "columnheader", scope: "col", class: isNumeric(column) ? "numeric" : null };
  if (!column.order || !isSortable) return element("th", attributes, column.title());
  const current = state[`${id}Order`];
  const [ascending, descending] = [`${column.order}_ASC`, `${column.order}_DESC`];
  const sorted = { [ascending]: "ascending", [descending]: "descending" }[current] ?? "none";
  // Names are sorted from A to Z first, and numbers and times from the largest.
  const [first, second] = column.type === "name" ? [ascending, descending] : [descending, ascending];
  const onclick = () => update({ [`${id}Order`]: current === first ? second : first });
  return element("th", { ...attributes, "aria-sort": sorted }, element("button", { type: "button", onclick }, column.title()));
}

/** Return the rows in the order of the state, if the page sorts them and there are no others. */
function ordered({ id, columns, isSortedByPage }, nodes, hasNextPage, state) {
  if (!isSortedByPage || hasNextPage) return nodes;
  const [, key, direction] = /^(.+)_(ASC|DESC)$/.exec(state[`${id}Order`]);
  const { type, value, format = String } = columns.find(({ order }) => order === key);
  const toInteger = { money: (amount) => toHundredths(amount ?? "0"), count: BigInt }[type];
  const compareTexts = new Intl.Collator(locale()).compare;
  const compare = toInteger
    ? (one, other) => Number(toInteger(one) > toInteger(other)) - Number(toInteger(one) < toInteger(other))
    : (one, other) => compareTexts(format(one), format(other));
  const sign = direction === "ASC" ? 1 : -1;
  return [...nodes].sort((one, other) => sign * compare(value(one), value(other)));
}

// More rows

const lastPage = (table, data, later) => (later.pageInfo ? later : table.connection(data)).pageInfo;

function moreButton(card, table, data, later) {
  const pageInfo = lastPage(table, data, later);
  if (!pageInfo.hasNextPage) return [];
  const onclick = () => loadMore(card, table, later, pageInfo.endCursor);
  const failure = later.error ? [element("p", { class: "bad", role: "alert" }, describeError(later.error))] : [];
  const label = later.isLoading ? messages.loading : messages.more;
  return [
    ...failure,
    element("button", { type: "button", class: "more", key: "more", "aria-disabled": String(Boolean(later.isLoading)), onclick }, label),
  ];
}

/** Read the next page; concurrent callers share one request. */
function loadMore(card, table, later, after) {
  if (!later.isLoading) later.loading = appendPage(card, table, later, after);
  return later.loading;
}

async function appendPage(card, table, later, after) {
  Object.assign(later, { isLoading: true, error: null });
  const [operation, variables] = currentQuery(card);
  await drawCard(card);
  try {
    const page = await readPage(table, operation, variables, after);
    later.nodes.push(...page.nodes);
    later.pageInfo = page.pageInfo;
  } catch (error) {
    later.error = error;
  }
  later.isLoading = false;
  await drawCard(card);
}

/** Read up to about `limit` rows, for example before they are printed. `signal` stops after the current page. */
async function loadRows(card, table, limit, signal) {
  for (let data = dataOf(card); data && data === dataOf(card) && !signal.aborted; ) {
    const later = pagesAfter(table.id, data);
    const pageInfo = lastPage(table, data, later);
    if (!pageInfo.hasNextPage || later.nodes.length >= limit) return;
    await loadMore(card, table, later, pageInfo.endCursor);
    if (later.error) return;
  }
}

/** Read a page of rows without the totals. */
async function readPage(table, operation, variables, after) {
  const withTotals = table.totals ? { withTotals: false } : {};
  return table.connection(await query(operation, { ...variables, ...withTotals, first: PAGE_ROWS, after }));
}

/** Rows that were read for a file or the clipboard, by the data of the first page: {nodes, pageInfo}. */
const exportedRows = new WeakMap();

/** Read the first rows, page by page. `onCount` receives their number after each page. Several calls may run at once. */
async function readRows(table, card, data, onCount, limit) {
  const [operation, variables] = currentQuery(card);
  const { nodes, pageInfo } = table.connection(data);
  if (!exportedRows.has(data)) exportedRows.set(data, { nodes: [...nodes], pageInfo });
  const rows = exportedRows.get(data);
  while (rows.pageInfo.hasNextPage && rows.nodes.length < limit) {
    const { endCursor } = rows.pageInfo;
    const page = await readPage(table, operation, variables, endCursor);
    if (rows.pageInfo.endCursor === endCursor) {
      rows.nodes.push(...page.nodes);
      rows.pageInfo = page.pageInfo;
    }
    onCount(rows.nodes.length);
  }
  return rows;
}

// Columns

function columnChoice({ id, columns }, state) {
  const name = `${id}Columns`;
  if (!(name in state)) return [];
  const box = ({ key, title }) => {
    const checked = state[name].includes(key);
    const isLast = checked && state[name].length === 1; // one column always remains
    const onchange = () => update({ [name]: toggledColumn(state[name], key) });
    return element(
      "label",
      { key },
      element("input", { type: "checkbox", checked, disabled: isLast, onchange }),
      title(),
    );
  };
  return [
    element(
      "details",
      { class: "column-choice" },
      element("summary", {}, messages.columns),
      element("fieldset", {}, element("legend", {}, messages.columns), ...columns.map(box)),
    ),
  ];
}

const toggledColumn = (keys, key) => (keys.includes(key) ? keys.filter((other) => other !== key) : [...keys, key]);
