// The frame of a chart: values on hover, focus and touch, keys, its table, and its file.

import { toText } from "./chart_data.js";
import { byId, element, redraw, svg } from "./dom.js";
import { asTable, save } from "./export.js";
import { formatNumber, moneyFormat, withSign } from "./formats.js";
import { messages } from "./i18n.js";
import { stateLink, stateLinkSvg } from "./navigation.js";
import { copyButton } from "./share.js";

// Bars

/**
 * Return a function that returns functions which wrap the shapes of a bar: in a link that makes these changes to the
 * state, or without changes in an element to focus. The Tab key reaches one bar, and arrow keys reach the others.
 */
export function interactiveBars() {
  let isFirst = true;
  return (lines, changes, { target = "deals-card", isSelected = false } = {}) =>
    (...shapes) => {
      const bar = changes ? stateLinkSvg(changes, target, ...shapes) : svg("g", { role: "img" }, ...shapes);
      bar.setAttribute("tabindex", isFirst ? "0" : "-1");
      bar.setAttribute("aria-label", lines.join(", "));
      bar.setAttribute("data-lines", lines.join("\n"));
      if (isSelected) bar.setAttribute("aria-current", "true");
      isFirst = false;
      return bar;
    };
}

/** Return a function for files, as `interactiveBars` does for the page. */
export const staticBars = () => (lines) => (...shapes) => svg("g", {}, svg("title", {}, lines.join("\n")), ...shapes);

// Values on hover, focus and touch

const barOf = (target) => target?.closest?.("[data-lines]");

/** The bar that was touched, if its values were not visible before; the first touch shows them, the second follows the link. */
let firstTouched = null;
let shownBar = null;

function showValues(frame, bar, isTouch = false) {
  const tip = frame.querySelector(".tip");
  shownBar = bar;
  tip.hidden = !bar;
  if (!bar) return;
  tip.textContent = bar.dataset.lines + (isTouch && bar.dataset.changes ? `\n${messages.tapAgain}` : "");
  const [box, area] = [frame, bar.querySelector(".hit")].map((node) => node.getBoundingClientRect());
  const left = area.left + area.width / 2 - box.left - tip.offsetWidth / 2;
  tip.style.left = `${Math.max(0, Math.min(left, box.width - tip.offsetWidth))}px`;
  tip.style.top = `${area.top - box.top - tip.offsetHeight - 4}px`;
}

const KEYS = {
  ArrowRight: (index) => index + 1,
  ArrowDown: (index) => index + 1,
  ArrowLeft: (index) => index - 1,
  ArrowUp: (index) => index - 1,
  Home: () => 0,
  End: (_, count) => count - 1,
};

function moveFocus(event) {
  const bar = barOf(event.target);
  if (event.key === "Escape") showValues(event.currentTarget, null);
  if (!bar || !(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
  const bars = [...event.currentTarget.querySelectorAll("[data-lines]")];
  const next = bars[KEYS[event.key](bars.indexOf(bar), bars.length)];
  event.preventDefault();
  if (!next) return;
  for (const other of bars) other.setAttribute("tabindex", other === next ? "0" : "-1");
  next.focus();
}

function listen(frame) {
  frame.addEventListener("pointerover", ({ target, pointerType }) => {
    if (pointerType !== "touch") showValues(frame, barOf(target));
  });
  frame.addEventListener("pointerleave", ({ pointerType }) => {
    if (pointerType !== "touch") showValues(frame, null);
  });
  frame.addEventListener("pointerdown", ({ target, pointerType }) => {
    const bar = barOf(target);
    firstTouched = pointerType === "touch" && bar !== shownBar ? bar : null;
    if (pointerType === "touch") showValues(frame, bar, true);
  });
  frame.addEventListener("click", (event) => {
    if (!firstTouched || barOf(event.target) !== firstTouched) return;
    event.preventDefault();
    event.stopPropagation();
  });
  frame.addEventListener("focusin", ({ target }) => barOf(target) !== shownBar && showValues(frame, barOf(target)));
  frame.addEventListener("focusout", () => showValues(frame, null));
  frame.addEventListener("keydown", moveFocus);
  return frame;
}

/** Return the frame around the elements of a drawing. */
export const chartFrame = (...drawing) =>
  listen(
    element(
      "div",
      { class: "chart-frame", key: "frame" },
      element("div", { class: drawing.length > 1 ? "plot scrolling" : "plot" }, ...drawing),
      element("div", { class: "tip", "aria-hidden": "true", hidden: true }),
      element("p", { class: "status hint" }, `${messages.chartHint} `, element("span", { class: "keys" }, messages.chartKeys)),
    ),
  );

// Table: {caption, nameTitle, columns: [{title, measure, isDifference}], rows: [{name, changes, values: [BigInt]}]}

/** Return the table of a chart, which is created when it is opened. */
export function chartTable(id, table) {
  const content = (isOpen) => [element("summary", {}, messages.chartTable), isOpen ? tableElement(table()) : null];
  const ontoggle = ({ currentTarget }) => redraw(currentTarget, ...content(currentTarget.open));
  return element("details", { id, key: "table", ontoggle }, ...content(byId(id)?.open));
}

function tableElement({ caption, nameTitle, columns, rows }) {
  const titles = [nameTitle, ...columns.map(({ title }) => title)];
  const head = titles.map((title, index) => element("th", { scope: "col", class: index ? "numeric" : null }, title));
  const formats = columns.map((column, index) => columnFormat(column, rows.map(({ values }) => values[index])));
  const body = rows.map(({ name, changes, values }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, changes ? stateLink(changes, "deals-card", name) : name),
      ...values.map((value, index) => element("td", { class: "numeric" }, formats[index](value))),
    ),
  );
  const content = element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...body),
  );
  return element("div", { class: "chart-table", tabindex: "0", role: "region", "aria-label": caption }, content);
}

/** Return a function that formats the values of a column with the same number of decimals. */
export function columnFormat({ measure, isDifference }, values) {
  const texts = values.map((value) => toText(value, measure));
  const format = measure === "total" ? moneyFormat(texts) : (text) => formatNumber(BigInt(text));
  const signed = isDifference ? withSign(format) : format;
  return (value) => signed(toText(value, measure));
}

/** Return a button that copies a table. */
export const copyTableButton = (table) =>
  copyButton(
    messages.copyTable,
    () => {
      const { nameTitle, columns, rows } = table();
      const types = columns.map(({ title, measure }, index) => ({
        title: () => title,
        type: measure === "total" ? "money" : "count",
        value: ({ values }) => toText(values[index], measure),
      }));
      return asTable([{ title: () => nameTitle, type: "name", value: ({ name }) => name }, ...types], rows);
    },
    "link",
  );

// File

const FILE_MARGIN = 16;

/** Return a button that saves the drawing that `draw` returns. */
export const saveButton = (title, draw) =>
  element("button", { type: "button", class: "link", onclick: () => saveDrawing(`${title}.svg`, draw()) }, "SVG");

function saveDrawing(name, drawing) {
  const [width, height] = ["width", "height"].map((side) => Number(drawing.getAttribute(side)) + 2 * FILE_MARGIN);
  const box = { x: -FILE_MARGIN, y: -FILE_MARGIN, width, height };
  drawing.setAttribute("viewBox", Object.values(box).join(" "));
  drawing.setAttribute("width", width);
  drawing.setAttribute("height", height);
  drawing.prepend(svg("rect", { ...box, fill: "#ffffff" }));
  save(new Blob([new XMLSerializer().serializeToString(drawing)], { type: "image/svg+xml" }), name);
}
