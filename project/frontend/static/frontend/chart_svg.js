// SVG drawings of the charts. The attributes are the colours on paper and in files; charts.css has those of the themes.

import { svg } from "./dom.js";

const INK = "#1c1b22";
const SOFT = "#5d5a68";
const LINE = "#dcd9e2";
const ACCENT = "#6c2bd9";
const OTHERS = "#77738a";

const FONT_SIZE = 12;
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

const context = document.createElement("canvas").getContext("2d");

function textWidth(text, weight = 400) {
  context.font = `${weight} ${FONT_SIZE}px ${FONT}`;
  return context.measureText(text).width;
}

/** Return the text, or its beginning with an ellipsis that fits into this number of pixels. */
function shortened(text, pixels, weight) {
  if (textWidth(text, weight) <= pixels) return text;
  const characters = [...text];
  while (characters.length > 1 && textWidth(`${characters.join("")}…`, weight) > pixels) characters.pop();
  return `${characters.join("")}…`;
}

const text = (x, y, content, attributes = {}) => svg("text", { x, y, fill: SOFT, ...attributes }, content);

const name = (x, y, content, attributes = {}) => text(x, y, content, { class: "name", fill: INK, ...attributes });

/** Text that screen readers skip: the name of each bar contains it. */
const hidden = (...children) => svg("g", { "aria-hidden": "true" }, ...children);

const line = (x1, y1, x2, y2) => svg("line", { class: "grid", x1, y1, x2, y2, stroke: LINE });

/** The bar of the compared upload is an outline, so that the difference needs no colour. */
function bar(kind, x, y, width, height) {
  const isOutline = kind === "base";
  const inset = isOutline ? Math.min(0.5, width / 4, height / 4) : 0;
  const colours = isOutline ? { fill: "#ffffff", stroke: ACCENT } : { fill: kind === "others" ? OTHERS : ACCENT };
  return svg("rect", {
    class: `bar ${kind}`, ...colours,
    x: x + inset, y: y + inset, width: Math.max(0, width - 2 * inset), height: Math.max(0, height - 2 * inset),
  });
}

/** The area that reacts to the pointer; it shows the focus, too. */
const hitArea = (x, y, width, height) => svg("rect", { class: "hit", fill: "none", "pointer-events": "all", x, y, width, height });

const root = (title, x, width, height, attributes, ...children) =>
  svg(
    "svg",
    {
      viewBox: `${x} 0 ${width} ${height}`, width, height, "font-family": FONT, "font-size": FONT_SIZE,
      role: "group", "aria-label": title, ...attributes,
    },
    ...children,
  );

/** Draw the heading of a file, and the names of the two compared uploads. */
function head({ heading, legend, width }) {
  const children = heading.map((words, index) =>
    name(0, 16 + 20 * index, shortened(words, width), { "font-weight": index ? 400 : 700 }),
  );
  const top = 20 * heading.length + (heading.length ? 8 : 0);
  legend.forEach((series, index) => {
    const y = top + 20 * index;
    children.push(bar(series.kind, 0, y + 4, 12, 12), name(20, y + 14, shortened(series.name, width - 20)));
  });
  return { children, height: top + 20 * legend.length + (legend.length ? 8 : 0) };
}

// Columns over time

const UNIT_HEIGHT = 26;
const TITLE_HEIGHT = 20;
const LABEL_HEIGHT = 18;
const PANEL_GAP = 20;

/** Return the geometry of panels side by side: as many as fit with periods of at least `minimum` pixels. */
function layout({ width, panels, periodCount, ticks }, minimum, labelRows) {
  const left = Math.ceil(Math.max(...ticks.flat().map((tick) => textWidth(tick.text)))) + 8;
  const needed = left + periodCount * minimum;
  const most = panels.length > 1 ? Math.max(1, Math.floor((width + PANEL_GAP) / Math.max(280, needed + PANEL_GAP))) : 1;
  const columns = Math.min(3, most, panels.length);
  const panelWidth = Math.max((width - PANEL_GAP * (columns - 1)) / columns, needed);
  const plotHeight = panels.length > 1 ? 110 : 230;
  const titleHeight = panels.length > 1 ? TITLE_HEIGHT : 0;
  const panelHeight = titleHeight + UNIT_HEIGHT + plotHeight + labelRows * LABEL_HEIGHT + 6;
  return { left, columns, panelWidth, plotHeight, titleHeight, panelHeight, slot: (panelWidth - left) / periodCount };
}

/**
 * Draw columns over time, in one panel or several of the same size. Returns elements: if the periods do not fit, the
 * axis and the columns are separate, so that the columns can be scrolled beside the axis.
 *
 * - `panels`: [{title, isOthers, ticks, bars}], where bars are [{index, values, link, isSelected}], `values` are the
 *   lengths for the legend, and `link(...children)` returns the element around a bar
 * - `labels(width)`: returns {fine, coarse}, both [{index, text, isCentred}], for periods of this width
 * - `unit`: the name of the measure
 */
export function drawColumns(chart) {
  const { title, width, panels, minimum, labels, unit } = chart;
  const top = head(chart);
  const ticks = panels.map((panel) => panel.ticks);
  const place = layout({ ...chart, ticks }, minimum, 2);
  const { left, columns, panelWidth, plotHeight, titleHeight, panelHeight, slot } = place;
  const { fine, coarse } = labels(slot);
  const axes = [];
  const plots = [];
  panels.forEach((panel, index) => {
    const x = (index % columns) * (panelWidth + PANEL_GAP);
    const y = top.height + Math.floor(index / columns) * (panelHeight + PANEL_GAP);
    const plot = { x: x + left, y: y + titleHeight + UNIT_HEIGHT, width: panelWidth - left, height: plotHeight, slot };
    const visible = Math.min(panelWidth, width);
    if (panel.title) axes.push(name(x, y + 14, shortened(panel.title, visible, 700), { "font-weight": 700 }));
    axes.push(text(x, y + titleHeight + 12, unit));
    const maximum = panel.ticks.at(-1).value;
    for (const tick of panel.ticks) {
      const tickY = plot.y + plotHeight * (1 - tick.value / maximum);
      axes.push(text(plot.x - 8, tickY + 4, tick.text, { "text-anchor": "end" }));
      plots.push(hidden(line(plot.x, tickY, plot.x + plot.width, tickY)));
    }
    plots.push(hidden(...timeAxis(plot, fine, coarse)), ...panel.bars.map((item) => column(plot, panel, item, maximum)));
  });
  const height = top.height + Math.ceil(panels.length / columns) * (panelHeight + PANEL_GAP) - PANEL_GAP;
  const total = columns * (panelWidth + PANEL_GAP) - PANEL_GAP;
  if (total <= width + 1) return [root(title, 0, width, height, { class: "chart" }, hidden(...top.children, ...axes), ...plots)];
  const axis = svg("svg", {
    class: "chart axis", viewBox: `0 0 ${left} ${height}`, width: left, height, overflow: "visible",
    "font-family": FONT, "font-size": FONT_SIZE, "aria-hidden": "true",
  });
  axis.append(svg("rect", { class: "ground", fill: "#ffffff", x: 0, y: 0, width: left, height }), ...top.children, ...axes);
  return [root(title, left, total - left, height, { class: "chart" }, ...plots), axis];
}

function timeAxis({ x, y, width, height, slot }, fine, coarse) {
  const bottom = y + height;
  const marks = fine.map(({ index, text: label, isCentred }) =>
    isCentred
      ? [text(x + slot * (index + 0.5), bottom + 14, label, { "text-anchor": "middle" })]
      : [line(x + slot * index, bottom, x + slot * index, bottom + 5), text(x + slot * index + 2, bottom + 14, label)],
  );
  const coarseLabels = (coarse ?? []).map(({ index, text: label }) => {
    const start = x + slot * index;
    const fits = start + textWidth(label, 700) <= x + width;
    const attributes = { "font-weight": 700, "text-anchor": fits ? "start" : "end" };
    return name(fits ? start + 2 : x + width, bottom + 14 + LABEL_HEIGHT, label, attributes);
  });
  return [...marks.flat(), ...coarseLabels];
}

function column(plot, panel, { index, values, link, isSelected }, maximum) {
  const { x, y, height, slot } = plot;
  const gap = Math.max(0.4, Math.min(slot * 0.2, 8));
  const barWidth = Math.min((slot - gap) / values.length, 40);
  const start = x + slot * index + (slot - barWidth * values.length) / 2;
  const bars = values.map(({ kind, value }, place) => {
    const length = value > 0 ? Math.max(1, (height * value) / maximum) : 0;
    const shape = panel.isOthers && kind === "head" ? "others" : kind;
    return bar(shape, start + barWidth * place, y + height - length, barWidth, length);
  });
  return link(...marker(isSelected, x + slot * index, y + height, slot, 3), ...bars, hitArea(x + slot * index, y, slot, height));
}

/** A line at the bar that the filter selects. */
const marker = (isSelected, x, y, width, height) =>
  isSelected ? [svg("rect", { class: "selected", fill: INK, x, y, width, height })] : [];

// Rows of a ranking

/**
 * Draw a row for each name. `rows` are [{name, figure, values, link, isOthers, isSelected}] as in `drawColumns`;
 * narrow drawings have the name above its bar.
 */
export function drawRows(chart) {
  const { title, width, rows, ticks, unit } = chart;
  const top = head(chart);
  const isNarrow = width < 560;
  const nameWidth = isNarrow ? 0 : Math.min(220, Math.ceil(Math.max(...rows.map((row) => textWidth(row.name, 700)))) + 12);
  const figureWidth = isNarrow ? 0 : Math.ceil(Math.max(...rows.map((row) => textWidth(row.figure, 700)))) + 12;
  const barHeight = rows[0].values.length > 1 ? 9 : 14;
  const rowHeight = rows[0].values.length * barHeight + (isNarrow ? 30 : 12);
  const plot = { x: nameWidth, width: width - nameWidth - figureWidth - (isNarrow ? 1 : 0), y: top.height };
  const bottom = top.height + rows.length * rowHeight;
  const maximum = ticks.at(-1).value;
  const grid = ticks.flatMap((tick, index) => {
    const x = plot.x + (plot.width * tick.value) / maximum;
    const anchor = index === 0 ? "start" : isNarrow && index === ticks.length - 1 ? "end" : "middle";
    return [line(x, top.height, x, bottom + 4), text(x, bottom + 18, tick.text, { "text-anchor": anchor })];
  });
  const rowElements = rows.flatMap((row, index) => {
    const y = top.height + index * rowHeight;
    const weight = row.isSelected ? 700 : 400;
    const middle = y + (isNarrow ? 16 : rowHeight / 2 + 4);
    const barTop = y + (isNarrow ? 22 : 6);
    const figureSpace = isNarrow ? textWidth(row.figure, weight) + 12 : 0;
    const names = [
      name(0, middle, shortened(row.name, isNarrow ? width - figureSpace : nameWidth - 12, weight), { "font-weight": weight }),
      name(width, middle, row.figure, { "font-weight": weight, "text-anchor": "end" }),
    ];
    const bars = row.values.map(({ kind, value }, place) => {
      const length = value > 0 ? Math.max(1, (plot.width * value) / maximum) : 0;
      return bar(row.isOthers && kind === "head" ? "others" : kind, plot.x, barTop + place * barHeight, length, barHeight);
    });
    const mark = marker(row.isSelected, plot.x - 4, barTop, 3, barHeight * row.values.length);
    return [hidden(...names), row.link(...mark, ...bars, hitArea(0, y, width, rowHeight))];
  });
  const unitLabel = text(plot.x + plot.width, bottom + 34, unit, { "text-anchor": "end" });
  return root(title, 0, width, bottom + 40, { class: "chart" }, hidden(...top.children, ...grid, unitLabel), ...rowElements);
}
