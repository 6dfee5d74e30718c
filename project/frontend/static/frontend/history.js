// The upload history, with activation of older uploads and links to compare them.

import { byId, element, show } from "./dom.js";
import { eventTime, formatNumber } from "./formats.js";
import { mutate, query } from "./graphql_client.js";
import { messages } from "./i18n.js";
import { stateLink } from "./navigation.js";
import { MAKE_CURRENT, UPLOADS } from "./operations.js";

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
  let hasUploaders = false; // only requests with a valid token receive the uploaders
  async function loadMore() {
    const { nodes, pageInfo } = (await query(UPLOADS, { after })).uploads;
    body.append(...nodes.map((upload) => uploadRow(upload, onChange)));
    hasUploaders ||= nodes.some((upload) => upload.uploadedBy);
    for (const cell of table.querySelectorAll(".uploader")) cell.hidden = !hasUploaders;
    after = pageInfo.endCursor;
    moreButton.hidden = !pageInfo.hasNextPage;
  }
  await loadMore();
  return [box, moreButton];
}

const headerCell = (text, className = null) => element("th", { scope: "col", class: className }, text);

function uploadRow(upload, onChange) {
  const actions = element("td", { class: "actions" });
  if (upload.state === "LOADED" && !upload.isCurrent) {
    const activate = () => makeCurrent(upload, onChange);
    actions.append(element("button", { type: "button", onclick: activate }, messages.makeCurrent));
    actions.append(stateLink({ base: upload.id, upload: "" }, "comparison-card", messages.compare));
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
