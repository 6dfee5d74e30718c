// The upload history, with activation of older uploads and a comparison with the current one.

import { byId, element, show } from "./dom.js";
import { eventTime, formatMoney, formatNumber, subtractMoney } from "./formats.js";
import { mutate, query } from "./graphql_client.js";
import { messages } from "./i18n.js";
import { COMPARE, MAKE_CURRENT, UPLOADS } from "./operations.js";

const MISSING = "—";

/** Return the elements of the history, newest upload first. `onChange` is called after another upload became current. */
export async function uploadHistory(onChange) {
  const body = element("tbody");
  const headers = [
    headerCell(messages.file),
    headerCell(messages.uploadedAt),
    headerCell(messages.uploadedBy, "uploader"),
    headerCell(messages.state),
    headerCell(messages.deals, "numeric"),
    headerCell(messages.actions),
  ];
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...headers)), body);
  const box = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": messages.history }, table);
  const moreButton = element("button", { type: "button", onclick: () => showErrors(loadMore) }, messages.more);
  let after = null;
  let current;
  let hasUploaders = false; // only requests with a valid token receive the uploaders
  async function loadMore() {
    const { nodes, pageInfo } = (await query(UPLOADS, { after })).uploads;
    current = nodes.find((upload) => upload.isCurrent) ?? current;
    body.append(...nodes.map((upload) => uploadRow(upload, current, onChange)));
    hasUploaders ||= nodes.some((upload) => upload.uploadedBy);
    for (const cell of table.querySelectorAll(".uploader")) cell.hidden = !hasUploaders;
    after = pageInfo.endCursor;
    moreButton.hidden = !pageInfo.hasNextPage;
  }
  await loadMore();
  return [box, moreButton];
}

const headerCell = (text, className = null) => element("th", { scope: "col", class: className }, text);

function uploadRow(upload, current, onChange) {
  const actions = element("td", { class: "actions" });
  if (upload.state === "LOADED" && !upload.isCurrent) {
    const activate = () => makeCurrent(upload, onChange);
    actions.append(element("button", { type: "button", onclick: activate }, messages.makeCurrent));
    if (current) {
      const compare = () => showErrors(() => showComparison(upload, current));
      actions.append(element("button", { type: "button", onclick: compare }, messages.compare));
    }
  }
  const state = upload.isCurrent ? element("strong", {}, messages.isCurrent) : messages.states[upload.state];
  return element(
    "tr",
    { class: upload.isCurrent ? "current" : null },
    element("th", { scope: "row" }, upload.fileName || MISSING),
    element("td", {}, eventTime(upload.arrivedAt)),
    element("td", { class: "uploader" }, upload.uploadedBy),
    element("td", { title: upload.error || null }, state),
    element("td", { class: "numeric" }, formatNumber(upload.dealCount)),
    actions,
  );
}

/** Run an action and show its error, and the token form if the service requires a token. */
async function showErrors(action) {
  try {
    await action();
  } catch (error) {
    show("history-message", error.message);
    if (error.code === "token_required") byId("token").hidden = false;
  }
}

async function makeCurrent(upload, onChange) {
  await showErrors(async () => {
    const result = (await mutate(MAKE_CURRENT, { id: upload.id })).activateUpload;
    const activated = result.__typename === "UploadActivated";
    show("history-message", activated ? messages.madeCurrent(upload.fileName) : result.message);
  });
  await onChange();
}

async function showComparison(selected, current) {
  const versions = await query(COMPARE, { selected: selected.id, current: current.id });
  const headers = ["", `${messages.selected}: ${selected.fileName}`, `${messages.current}: ${current.fileName}`, messages.difference];
  const rows = [
    countRow(messages.deals, versions, (upload) => upload.dealCount),
    countRow(messages.customers, versions, (upload) => upload.customerCount),
    countRow(messages.gems, versions, (upload) => upload.gemCount),
    moneyRow(messages.sum, totalOf(versions.selected), totalOf(versions.current)),
    ...clientRows(versions.selected.topClients, versions.current.topClients),
  ];
  const headerRow = element("tr", {}, ...headers.map((text, index) => headerCell(text, index ? "numeric" : null)));
  const table = element("table", {}, element("thead", {}, headerRow), element("tbody", {}, ...rows));
  const heading = element("h3", { tabindex: "-1" }, messages.comparison);
  const close = element("button", { type: "button", onclick: () => show("comparison") }, messages.close);
  show("comparison", heading, element("div", { class: "scroll" }, table), close);
  heading.focus();
}

const totalOf = (upload) => upload.dealStats.nodes[0]?.total ?? "0";

function comparisonRow(name, ...cells) {
  const row = element("tr", {}, element("th", { scope: "row" }, name));
  row.append(...cells.map((cell) => element("td", { class: "numeric" }, cell)));
  return row;
}

function countRow(name, { selected, current }, count) {
  const counts = [count(selected), count(current), count(current) - count(selected)];
  return comparisonRow(name, ...counts.map(formatNumber));
}

/** Unknown amounts are undefined. */
function moneyRow(name, selected, current) {
  const difference = selected && current && subtractMoney(current, selected);
  return comparisonRow(name, ...[selected, current, difference].map((amount) => (amount ? formatMoney(amount) : MISSING)));
}

/** Return a row for each client among the top five of either upload. */
function clientRows(selectedClients, currentClients) {
  const amounts = (clients) => new Map(clients.map(({ username, spentMoney }) => [username, spentMoney]));
  const [selected, current] = [amounts(selectedClients), amounts(currentClients)];
  const usernames = new Set([...current.keys(), ...selected.keys()]);
  return [...usernames].map((username) => moneyRow(username, selected.get(username), current.get(username)));
}
