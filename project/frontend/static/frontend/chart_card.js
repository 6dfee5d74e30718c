// What both charts have in common: their card, controls, formats, and the values of one or two uploads.

import { largestNames, MEASURES, NO_SUMS, readSums, ticks, timeLabels, toNumber } from "./chart_data.js";
import { chartFrame, chartTable, columnFormat, copyTableButton, interactiveBars, saveButton, staticBars } from "./chart_figure.js";
import { byId, element } from "./dom.js";
import { formatDay, formatEventTime, formatMonth, formatMonthName, formatNumber, formatWeek } from "./formats.js";
import { query } from "./graphql_client.js";
import { locale, messages } from "./i18n.js";
import { VERSIONS } from "./operations.js";
import { update } from "./state.js";

/** Width of drawings on paper and in files, in pixels. */
const PAPER_WIDTH = 700;
const FILE_WIDTH = 960;

/** Sort orders of groups by measure. */
export const ORDERS = { total: "TOTAL_DESC", dealCount: "DEAL_COUNT_DESC", quantity: "QUANTITY_DESC" };

// Formats

/** Format one value. */
export const format = (value, measure, isDifference = false) => columnFormat({ measure, isDifference }, [value])(value);

export const axisTicks = (maximum, measure, count) => {
  const compact = new Intl.NumberFormat(locale(), { notation: "compact", maximumFractionDigits: 2 });
  return ticks(maximum, count, measure !== "total").map((value) => ({ value, text: compact.format(value) }));
};

const quarterNumber = (day) => Math.ceil(Number(day.slice(5, 7)) / 3);
const year = (day) => String(Number(day.slice(0, 4)));

export const PERIOD_FORMATS = {
  day: formatDay,
  week: formatWeek,
  month: formatMonth,
  quarter: (day) => messages.quarterOf(quarterNumber(day), year(day)),
  year,
};
const LABEL_FORMATS = {
  day: (day) => formatNumber(Number(day.slice(8))),
  month: formatMonthName,
  quarter: (day) => messages.quarterNumber(quarterNumber(day)),
  year,
};

/** Return the labels of a time axis as `drawColumns` needs them. */
export const axisLabels = (starts, period) => (width) => {
  const { fine, coarse } = timeLabels(starts, period, width);
  const monthly = (unit) => (unit === "quarter" && period !== "quarter" ? "month" : unit);
  const label = (index, toLabel, isCentred) => ({ index, text: toLabel(starts[index]), isCentred });
  return {
    fine: fine.indexes.map((index) => label(index, LABEL_FORMATS[monthly(fine.unit)], fine.unit === period)),
    coarse: coarse?.indexes.map((index) => label(index, coarse.unit === "month" ? formatMonth : year, false)),
  };
};

// The card

let isPrinting = false;

/** Set whether the charts are drawn for paper. */
export const setPrinting = (value) => (isPrinting = value);

/**
 * Return the card of a chart, in which
 * - `content(data, state)` calculates the chart, or returns null if it is too large for `tooLarge(state)`
 * - `title(state)`, `draw(content, view, {width, isCompact, wrap, heading})` and `table(content, view)` show it; `view`
 *   is {state, upload, measure, series}
 */
export function chartCard({ id, title, content, draw, table, tooLarge, ...card }) {
  const viewOf = (data, state, upload) => ({ state, upload, measure: state.chartMeasure, series: seriesOf(data, upload) });
  const titled = (state) => messages.chartTitle(messages.chartMeasures[state.chartMeasure], title(state));
  const tableOf = (calculated, view) => () => ({ caption: titled(view.state), ...table(calculated, view) });
  const drawIn = (calculated, view, options) =>
    draw(calculated, view, {
      title: titled(view.state), unit: messages.chartUnits[view.measure], legend: view.series.length > 1 ? view.series : [],
      heading: [], ...options,
    });
  return {
    ...card,
    id,
    isEmpty: ({ head, base }) => !head.dealStats.nodes.length && !base?.dealStats.nodes.length,
    render: (data, state, upload) => {
      const calculated = content(data, state);
      if (!calculated) return tooLarge(state, messages.tooManyPeriods);
      const view = viewOf(data, state, upload);
      const isPaper = isPrinting || matchMedia("print").matches;
      const minimum = isPaper ? 0 : matchMedia("(pointer: coarse)").matches ? 8 : 2.5;
      const width = (!isPaper && byId(id).clientWidth) || PAPER_WIDTH;
      return [
        element("h3", {}, titled(state)),
        chartFrame(...drawIn(calculated, view, { width, minimum, wrap: interactiveBars() })),
        chartTable(`${id}-table`, tableOf(calculated, view)),
      ];
    },
    links: (data, state, upload) => {
      const calculated = content(data, state);
      if (!calculated) return [];
      const view = viewOf(data, state, upload);
      // The legend names the uploads if there are two.
      const heading = view.series.length > 1 ? [titled(state)] : [titled(state), view.series[0].name];
      const file = () => drawIn(calculated, view, { width: FILE_WIDTH, minimum: 0, wrap: staticBars(), heading })[0];
      return [saveButton(titled(state), file), copyTableButton(tableOf(calculated, view))];
    },
  };
}

// Controls

/** Return buttons of which one is pressed, for a value of the state. */
export const choice = (state, key, label, texts) =>
  element(
    "div",
    { class: "segments", role: "group", "aria-label": label },
    ...Object.entries(texts).map(([value, text]) =>
      element("button", { type: "button", "aria-pressed": String(state[key] === value), onclick: () => update({ [key]: value }) }, text),
    ),
  );

export const measureChoice = (state) => choice(state, "chartMeasure", messages.chartMeasure, messages.chartMeasures);

export const controls = (...choices) => [element("div", { class: "chart-choices" }, ...choices)];

// Values

export const groupName = (node) => (node.gem ? node.gem.name : node.customer.username);

export const sumsBy = (nodes, key) => new Map(nodes.map((node) => [key(node), readSums(node)]));

/** Read the result of an operation for the shown upload, and for the one that it is compared with. */
export async function readVersions(operation, variables, state, upload) {
  const ids = [upload.id, state.base].filter(Boolean);
  const [head, base] = await Promise.all(ids.map((id) => query(operation, { upload: id, ...variables })));
  return { head, base };
}

/** Return the upload that the shown one is compared with; undefined without a comparison. */
export async function readBase({ base }) {
  return base && (await query(VERSIONS)).uploads.nodes.find(({ id }) => id === base);
}

/** Return the variables that select the groups with these names. */
export const variablesOf = (keys, filter, group, names) => ({
  by: keys.map((key) => key.toUpperCase()),
  filter: { AND: [...(filter ? [filter] : []), { [group]: { in: names } }] },
});

const fileTitle = ({ fileName, arrivedAt }) => `${fileName || "—"}, ${formatEventTime(arrivedAt)}`;

/** The kinds of bars, from left to right, with the names of their files; the compared upload is first. */
function seriesOf(data, upload) {
  const shown = { kind: "head", name: fileTitle(upload) };
  return data.base ? [{ kind: "base", name: data.baseUpload ? fileTitle(data.baseUpload) : "—" }, shown] : [shown];
}

/** The lines of text that describe a bar. */
export function valueLines(title, sums, { series, measure }) {
  if (series.length === 1) {
    return [title, ...MEASURES.map((name) => messages.chartValue(messages.chartMeasures[name], format(sums.head[name], name)))];
  }
  const difference = format(sums.head[measure] - sums.base[measure], measure, true);
  return [
    title,
    ...series.map(({ kind, name }) => messages.chartValue(name, format(sums[kind][measure], measure))),
    messages.chartValue(messages.difference, difference),
  ];
}

/** The columns of the values in the table of a chart, and the function that returns the values. */
export function valueColumns({ series, measure }) {
  if (series.length === 1) {
    return {
      columns: MEASURES.map((name) => ({ title: messages.chartMeasures[name], measure: name })),
      valuesIn: ({ head }) => MEASURES.map((name) => head[name]),
    };
  }
  return {
    columns: [
      ...series.map(({ name }) => ({ title: name, measure })),
      { title: messages.difference, measure, isDifference: true },
    ],
    valuesIn: ({ head, base }) => [base[measure], head[measure], head[measure] - base[measure]],
  };
}

export const sumsOf = (maps, key) => ({ head: maps.head.get(key) ?? NO_SUMS, base: maps.base?.get(key) ?? NO_SUMS });

export const valuesOf = (sums, { series, measure }) => series.map(({ kind }) => ({ kind, value: toNumber(sums[kind][measure], measure) }));

export const largest = (items) => Math.max(0, ...items.flatMap(({ values }) => values.map(({ value }) => value)));

/**
 * Return the names with the largest values on one page of groups or two, and how many names they omit, which is
 * undefined if it is unknown. One more name than `count` is not omitted, because "others" would need its place.
 */
export function largestGroups({ head, base }, measure, count, most = count + 1) {
  const known = [head, base].filter(Boolean).map(({ dealStats }) => dealStats);
  const names = largestNames(known.map(({ nodes }) => sumsBy(nodes, groupName)), measure);
  const isComplete = known.every(({ nodes, totalCount }) => nodes.length >= totalCount);
  const shown = names.slice(0, isComplete && names.length <= most ? most : count);
  if (isComplete) return { names: shown, omitted: names.length - shown.length };
  return { names: shown, omitted: known.length > 1 ? undefined : known[0].totalCount - shown.length };
}
