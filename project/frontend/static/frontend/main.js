// The page: sections, rendering and controls. Files are uploaded over REST, data is read over GraphQL.

import { horizontalBars, verticalBars } from "./charts.js";
import { TABLES } from "./data_tables.js";
import { byId, element, show, storageKey } from "./dom.js";
import { query, token } from "./graphql_client.js";
import { uploadHistory } from "./history.js";
import { formatDateTime, formatMoney, formatMonth, formatNumber, LANGUAGES, language, messages, setLanguage } from "./i18n.js";
import { CURRENT, MONEY_BY_GEM, MONEY_BY_MONTH, TOP_CLIENTS } from "./operations.js";
import { upload } from "./upload.js";

/** Interval between checks for a new upload. Most responses are 304, without a body. */
const REFRESH_MS = 3000;

// Sections

async function topClients() {
  const clients = (await query(TOP_CLIENTS)).topClients;
  return element("ol", { class: "clients" }, ...clients.map(clientItem));
}

function clientItem({ username, spentMoney, gems }) {
  const gemItems = gems.map((gem) => element("li", { class: "gem" }, gem));
  return element(
    "li",
    {},
    element("span", { class: "name" }, username),
    element("span", { class: "money" }, formatMoney(spentMoney)),
    element(
      "ul",
      { "aria-label": messages.sharedGems },
      ...(gems.length ? gemItems : [element("li", { class: "none" }, messages.noSharedGems)]),
    ),
  );
}

async function moneyByMonth() {
  const { nodes } = (await query(MONEY_BY_MONTH)).dealStats;
  return verticalBars(nodes.reverse().map((stats) => ({ ...stats, label: formatMonth(stats.month) })));
}

async function moneyByGem() {
  const { nodes } = (await query(MONEY_BY_GEM)).dealStats;
  return horizontalBars(nodes.map((stats) => ({ ...stats, label: stats.gem.name })));
}

const fact = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, formatNumber(value)));

function showFacts(currentUpload) {
  show("current", messages.currentFile(currentUpload.fileName || "—", formatDateTime(currentUpload.arrivedAt)));
  show(
    "facts",
    fact(messages.deals, currentUpload.dealCount),
    fact(messages.customers, currentUpload.customerCount),
    fact(messages.gems, currentUpload.gemCount),
  );
}

// Rendering

let shownUpload; // id of the rendered upload; null without data; undefined to render again

/**
 * Render one section. An error is shown in its section only. The result is dropped if another upload became current
 * in the meantime.
 */
async function renderSection(id, render) {
  const renderedUpload = shownUpload;
  try {
    const elements = [await render()].flat();
    if (renderedUpload === shownUpload) show(id, ...elements);
  } catch (error) {
    if (renderedUpload === shownUpload) show(id, element("p", { class: "bad" }, describeError(error)));
  }
}

/** Return the text of an error; show the token form if the service requires a token. */
function describeError(error) {
  if (error.code === "token_required") byId("token").hidden = false;
  return error.code === "no_response" ? messages.noResponse : error.message;
}

const renderHistory = () => renderSection("uploads", () => uploadHistory(refresh));

async function render(currentUpload) {
  shownUpload = currentUpload?.id ?? null;
  byId("data").hidden = !currentUpload;
  byId("empty").hidden = Boolean(currentUpload);
  await renderHistory();
  if (!currentUpload) return;
  showFacts(currentUpload);
  show("comparison");
  await Promise.all([
    renderSection("clients", topClients),
    renderSection("months", moneyByMonth),
    renderSection("money-by-gem", moneyByGem),
    ...TABLES.map((table) => renderSection(`${table.id}-table`, () => table.render())),
  ]);
}

/** Query the current upload, and render the page if it has changed. */
async function refresh() {
  try {
    const { currentUpload } = await query(CURRENT);
    byId("connection-error").hidden = true;
    if ((currentUpload?.id ?? null) !== shownUpload) await render(currentUpload);
  } catch (error) {
    byId("connection-error").hidden = false;
    show("connection-error", describeError(error));
  }
}

async function rerender() {
  shownUpload = undefined;
  await refresh();
}

async function refreshRepeatedly() {
  if (!document.hidden) await refresh();
  setTimeout(refreshRepeatedly, REFRESH_MS);
}

// Controls

function translatePage() {
  document.documentElement.lang = language;
  document.title = messages.title;
  for (const node of document.querySelectorAll("[data-i18n]")) node.textContent = messages[node.dataset.i18n];
}

async function handleFile(file) {
  if (!file) return;
  const outcome = await upload(file);
  if (outcome === "token_required") byId("token").hidden = false;
  await refresh();
  if (outcome === "rejected") await renderHistory(); // the history includes rejected uploads
}

function prepareDropZone() {
  const zone = byId("drop");
  const field = byId("file");
  field.addEventListener("change", async () => {
    await handleFile(field.files[0]);
    field.value = ""; // otherwise, choosing the same file again would not fire a change event
  });
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    handleFile(event.dataTransfer.files[0]);
  });
}

function prepareLanguage() {
  const select = byId("language");
  select.append(...Object.entries(LANGUAGES).map(([code, name]) => element("option", { value: code }, name)));
  select.value = language;
  select.addEventListener("change", async () => {
    setLanguage(select.value);
    translatePage();
    show("result");
    await rerender();
  });
}

function prepareTheme() {
  const select = byId("theme");
  select.value = localStorage.getItem(storageKey("theme")) ?? "auto";
  const applyTheme = () => document.documentElement.setAttribute("data-theme", select.value);
  select.addEventListener("change", () => {
    localStorage.setItem(storageKey("theme"), select.value);
    applyTheme();
  });
  applyTheme();
}

function prepareTokenForm() {
  const form = byId("token");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    token.set(byId("token-value").value);
    form.hidden = true;
    await rerender();
  });
}

translatePage();
prepareLanguage();
prepareTheme();
prepareDropZone();
prepareTokenForm();
refreshRepeatedly();
