// The chart of deals over time, together or by gem or customer.

import {
  axisLabels, axisTicks, chartCard, choice, controls, groupName, largest, largestGroups, measureChoice, ORDERS, PERIOD_FORMATS,
  readBase, readVersions, sumsBy, sumsOf, valueColumns, valueLines, valuesOf, variablesOf,
} from "./chart_card.js";
import { MAX_PERIODS, NO_SUMS, periodsBetween, remainder, startOf } from "./chart_data.js";
import { drawColumns } from "./chart_svg.js";
import { dealFilter } from "./deal_filter.js";
import { element } from "./dom.js";
import { describeError } from "./errors.js";
import { messages } from "./i18n.js";
import { stateLink } from "./navigation.js";
import { DEALS_BY_GROUP, DEALS_BY_PERIOD, DEALS_OF_GROUPS } from "./operations.js";
import { endOf, isWithinPeriod, longerPeriod } from "./periods.js";

/** Number of panels in addition to that of all other groups. */
const PANELS = 5;

const isSplit = (state) => state.chartSplit !== "none";

/** A filter by date selects the periods of the chart, or marks the one that contains it. */
const marksPeriod = ({ from, to, chartPeriod }) => Boolean(from && to) && isWithinPeriod(from, to, chartPeriod);

const timeFilter = (state) => dealFilter(state, marksPeriod(state) ? "date" : "");

const splitNames = (groups, { chartMeasure }) => largestGroups(groups, chartMeasure, PANELS);

const variables = (state) => ({ by: [state.chartPeriod.toUpperCase()], filter: timeFilter(state) });

async function read(state, upload) {
  const group = state.chartSplit;
  const readAll = (operation, selected) => readVersions(operation, selected, state, upload);
  const ordered = { by: [group.toUpperCase()], order: ORDERS[state.chartMeasure], filter: timeFilter(state) };
  const [periods, groups, baseUpload] = await Promise.all([
    readAll(DEALS_BY_PERIOD, variables(state)),
    isSplit(state) ? readAll(DEALS_BY_GROUP, ordered) : null,
    readBase(state),
  ]);
  const selected = groups && variablesOf([group, state.chartPeriod], timeFilter(state), group, splitNames(groups, state).names);
  return { ...periods, groups, split: groups && (await readAll(DEALS_OF_GROUPS, selected)), baseUpload };
}

/** Return the start of every period, and the panels [{name, isOthers, maps}]; null if there are too many. */
function content(data, state) {
  const { chartPeriod: period, chartSplit: group } = state;
  const pages = [data, data.split ?? {}].flatMap(({ head, base }) => [head?.dealStats, base?.dealStats]);
  if (pages.some((page) => page?.totalCount > page?.nodes.length)) return null;
  const mapsOf = ({ head, base }, isIncluded = () => true) => {
    const map = (result) => result && sumsBy(result.dealStats.nodes.filter(isIncluded), (node) => startOf(node, period));
    return { head: map(head), base: map(base) };
  };
  const all = mapsOf(data);
  const known = [...all.head.keys(), ...(all.base?.keys() ?? [])].sort();
  const starts = periodsBetween(known[0], known.at(-1), period);
  if (starts.length > MAX_PERIODS) return null;
  if (!isSplit(state)) return { starts, panels: [{ maps: all }] };
  const { names, omitted } = splitNames(data.groups, state);
  const panels = names.map((name) => ({ name, maps: mapsOf(data.split, (node) => groupName(node) === name) }));
  if (omitted === 0) return { starts, panels };
  const rest = (kind) =>
    all[kind] &&
    new Map([...all[kind]].map(([start, sums]) => [start, remainder(sums, panels.map(({ maps }) => maps[kind].get(start) ?? NO_SUMS))]));
  const others = { name: messages.others(omitted, group), isOthers: true, maps: { head: rest("head"), base: rest("base") } };
  return { starts, panels: [...panels, others] };
}

function draw({ starts, panels }, view, options) {
  const { state, measure, series } = view;
  const period = state.chartPeriod;
  const isMarked = marksPeriod(state);
  const barsOf = ({ name, isOthers, maps }) =>
    starts.flatMap((start, index) => {
      const sums = sumsOf(maps, start);
      if (!sums.head.dealCount && !sums.base.dealCount) return [];
      const range = { from: start, to: endOf(start, period) };
      const changes = isOthers ? null : { ...range, ...(name ? { [state.chartSplit]: [name] } : {}) };
      const title = [name, PERIOD_FORMATS[period](start)].filter(Boolean).join(", ");
      const isSelected = isMarked && range.from <= state.from && state.to <= range.to;
      const link = options.wrap(valueLines(title, sums, view), changes, { isSelected });
      return [{ index, values: valuesOf(sums, view), isSelected, link }];
    });
  const drawn = panels.map((panel) => ({ ...panel, bars: barsOf(panel) }));
  const common = axisTicks(largest(drawn.filter(({ isOthers }) => !isOthers).flatMap(({ bars }) => bars)), measure, 4);
  return drawColumns({
    ...options,
    minimum: options.minimum * series.length,
    periodCount: starts.length,
    labels: axisLabels(starts, period),
    panels: drawn.map(({ name, isOthers, bars }) => ({
      title: isOthers ? messages.ownScale(name) : name,
      isOthers,
      bars,
      ticks: isOthers ? axisTicks(largest(bars), measure, 4) : common,
    })),
  });
}

function table({ starts, panels }, view) {
  const { state, measure, series } = view;
  const whole = valueColumns(view);
  const columnsOf = ({ name }) => series.map((item) => ({ title: series.length > 1 ? `${name} – ${item.name}` : name, measure }));
  const valuesAt = (start, { maps }) => {
    const sums = sumsOf(maps, start);
    return isSplit(state) ? series.map(({ kind }) => sums[kind][measure]) : whole.valuesIn(sums);
  };
  return {
    nameTitle: messages.periodColumn,
    columns: isSplit(state) ? panels.flatMap(columnsOf) : whole.columns,
    rows: starts.map((start) => ({
      name: PERIOD_FORMATS[state.chartPeriod](start),
      changes: { from: start, to: endOf(start, state.chartPeriod) },
      values: panels.flatMap((panel) => valuesAt(start, panel)),
    })),
  };
}

/** Return a way to fewer periods or panels. */
function tooLarge(state, text) {
  const longer = longerPeriod(state.chartPeriod);
  const links = [
    longer && stateLink({ chartPeriod: longer }, "", messages.showBy(messages.byPeriods[longer])),
    isSplit(state) && stateLink({ chartSplit: null }, "", messages.showWhole),
  ];
  return element("p", { class: "status", role: "status" }, text, ...links.filter(Boolean).flatMap((link) => [" ", link]));
}

export const timeCard = chartCard({
  id: "timeline",
  title: ({ chartPeriod }) => messages.inUtc(messages.byPeriods[chartPeriod]),
  controls: (state) =>
    controls(
      measureChoice(state),
      choice(state, "chartPeriod", messages.chartPeriod, messages.chartPeriods),
      choice(state, "chartSplit", messages.chartSplit, messages.chartSplits),
    ),
  query: (state, upload) => [
    DEALS_BY_PERIOD,
    { upload: upload.id, ...variables(state) },
    [state.base, state.chartSplit, isSplit(state) && state.chartMeasure],
  ],
  read,
  explain: (error, state) => (error.code === "limit_exceeded" ? tooLarge(state, describeError(error)) : null),
  content,
  draw,
  table,
  tooLarge,
});
