// The chart that ranks gems or customers.

import {
  axisTicks, chartCard, choice, controls, groupName, largest, largestGroups, measureChoice, ORDERS, readBase, readVersions, sumsBy,
  sumsOf, valueColumns, valueLines, valuesOf, variablesOf,
} from "./chart_card.js";
import { NO_SUMS, readSums, remainder } from "./chart_data.js";
import { columnFormat } from "./chart_figure.js";
import { drawRows } from "./chart_svg.js";
import { dealFilter } from "./deal_filter.js";
import { formatPercent } from "./formats.js";
import { messages } from "./i18n.js";
import { DEALS_BY_GROUP, DEALS_OF_GROUPS } from "./operations.js";

const FIRST_ROWS = 10;
/** Largest number of names in a filter of the service. */
const MAX_NAMES = 100;

const showsAll = (state) => state.chartRows === "all";

const namesIn = (data, { chartMeasure }, count) => largestGroups(data, chartMeasure, count, Math.min(count + 1, MAX_NAMES));

const filterOf = (state) => dealFilter(state, state.chartGroup);

const variables = (state) => ({
  by: [state.chartGroup.toUpperCase()],
  order: ORDERS[state.chartMeasure],
  filter: filterOf(state),
});

async function read(state, upload) {
  const group = state.chartGroup;
  const [groups, baseUpload] = await Promise.all([readVersions(DEALS_BY_GROUP, variables(state), state, upload), readBase(state)]);
  const { names, omitted } = namesIn(groups, state, MAX_NAMES);
  // A name on the page of only one upload has a value in the other upload, too.
  const named = groups.base && omitted !== 0 ? variablesOf([group], filterOf(state), group, names) : null;
  return { ...groups, baseUpload, named: named && (await readVersions(DEALS_OF_GROUPS, named, state, upload)) };
}

/** Return the rows [{name, isOthers, sums}], the last one with the sums of all other groups, and the sums of all groups. */
function content(data, state) {
  const { names: shown, omitted } = namesIn(data, state, showsAll(state) ? MAX_NAMES : FIRST_ROWS);
  const map = (result) => result && sumsBy(result.dealStats.nodes, groupName);
  const { head, base } = data.named ?? data;
  const maps = { head: map(head), base: map(base) };
  const rows = shown.map((name) => ({ name, sums: sumsOf(maps, name) }));
  const sumsOfAll = (result) => (result?.all.nodes.length ? readSums(result.all.nodes[0]) : NO_SUMS);
  const all = { head: sumsOfAll(data.head), base: sumsOfAll(data.base) };
  if (omitted === 0) return { rows, all };
  const rest = (kind) => remainder(all[kind], rows.map(({ sums }) => sums[kind]));
  const others = { name: messages.others(omitted, state.chartGroup), isOthers: true, sums: { head: rest("head"), base: rest("base") } };
  return { rows: [...rows, others], all };
}

function draw({ rows, all }, view, options) {
  const { state, measure } = view;
  const group = state.chartGroup;
  const figure = columnFormat({ measure }, rows.map(({ sums }) => sums.head[measure]));
  const items = rows.map(({ name, sums, isOthers }) => {
    const share = formatPercent(Number(sums.head[measure]) / (Number(all.head[measure]) || 1));
    const lines = [...valueLines(name, sums, view), messages.chartValue(messages.chartShare, share)];
    const isSelected = !isOthers && state[group].includes(name);
    const more = showsAll(state) ? null : { chartRows: "all" };
    const link = isOthers
      ? options.wrap(lines, more, { target: "ranking-card" })
      : options.wrap(lines, { [group]: [name] }, { isSelected });
    return { name, figure: figure(sums.head[measure]), values: valuesOf(sums, view), isOthers, isSelected, link };
  });
  return [drawRows({ ...options, rows: items, ticks: axisTicks(largest(items), measure, options.width < 560 ? 3 : 6) })];
}

function table({ rows }, view) {
  const { columns, valuesIn } = valueColumns(view);
  const group = view.state.chartGroup;
  return {
    nameTitle: messages.chartGroups[group],
    columns,
    rows: rows.map(({ name, sums, isOthers }) => ({ name, changes: isOthers ? null : { [group]: [name] }, values: valuesIn(sums) })),
  };
}

export const rankingCard = chartCard({
  id: "ranking",
  title: ({ chartGroup }) => messages.byGroups[chartGroup],
  controls: (state, { gemCount, customerCount }) => {
    const count = state.chartGroup === "gem" ? gemCount : customerCount;
    const rows = { first: messages.firstRows(FIRST_ROWS), all: count > MAX_NAMES ? messages.firstRows(MAX_NAMES) : messages.everyRow };
    return controls(
      measureChoice(state),
      choice(state, "chartGroup", messages.chartGroup, messages.chartGroups),
      count > FIRST_ROWS + 1 ? choice(state, "chartRows", messages.chartRows, rows) : null,
    );
  },
  query: (state, upload) => [DEALS_BY_GROUP, { upload: upload.id, ...variables(state) }, [state.base]],
  read,
  content,
  draw,
  table,
});
