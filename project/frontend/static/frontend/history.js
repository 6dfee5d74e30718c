// The upload history: who uploaded what, why a file was rejected, links to versions and their differences, and a
// button that makes a retained version current.

import { byId, edited, element, redraw } from "./dom.js";
import { describeError } from "./errors.js";
import { eventTime, formatEventTime } from "./formats.js";
import { mutate, query } from "./graphql_client.js";
import { messages } from "./i18n.js";
import { stateLink } from "./navigation.js";
import { MAKE_CURRENT, UPLOADS } from "./operations.js";
import { update } from "./state.js";
import { readModules } from "./uploads.js";

const NO_NAME = "—";

let pages = 1; // pages of the list that are shown
let reading = 0; // number of the latest reading; the results of earlier ones are dropped
let onActivated; // called after another version became current
let uploads = [];
let hasMore = false;
let activatedId = null; // of the version that this page has made current, while it is current
let message = () => []; // returns the elements of the last message in the current language
const reasons = new Map(); // id of an upload -> function that returns why it was rejected, in the current language

/** `listener()` is called after this page has made another version current. */
export function startHistory(listener) {
  onActivated = listener;
}

/** Read the pages of the history that are shown, and draw them. */
export async function readHistory() {
  reading += 1;
  const own = reading;
  try {
    const nodes = [];
    let pageInfo = { endCursor: null, hasNextPage: true };
    for (let page = 0; page < pages && pageInfo.hasNextPage; page += 1) {
      const connection = (await query(UPLOADS, { after: pageInfo.endCursor })).uploads;
      nodes.push(...connection.nodes);
      pageInfo = connection.pageInfo;
    }
    if (own !== reading) return;
    [uploads, hasMore] = [nodes, pageInfo.hasNextPage];
    const current = uploads.find(({ isCurrent }) => isCurrent);
    if (activatedId && current?.id !== activatedId) setMessage(() => []); // to undo it would replace newer data
    drawHistory();
  } catch (error) {
    if (own === reading) redraw("history-message", describeError(error));
  }
}

/** Draw the history in the current language. */
export function drawHistory() {
  byId("history-card").hidden = uploads.length === 0;
  redraw("history-message", ...message());
  const showMore = () => {
    pages += 1;
    readHistory();
  };
  redraw(
    "uploads",
    element("ol", { class: "uploads" }, ...uploads.map(uploadItem)),
    hasMore ? element("button", { type: "button", onclick: showMore }, messages.more) : null,
    comparisonForm(uploads.filter(isRetained)),
  );
}

const isRetained = ({ state }) => state === "LOADED";
const nameOf = ({ fileName }) => fileName || NO_NAME;

function uploadItem(upload) {
  const { state, isCurrent, uploadedBy, error } = upload;
  const details = [eventTime(upload.arrivedAt), uploadedBy ? ` ${messages.uploadedBy(uploadedBy)}` : null];
  const className = isCurrent ? "current" : state.toLowerCase();
  return element(
    "li",
    { key: upload.id, class: className },
    element(
      "div",
      {},
      element("strong", { class: "file" }, nameOf(upload)),
      " ",
      element("span", { class: "state" }, isCurrent ? messages.isCurrent : messages.states[state]),
      element("p", { class: "status" }, ...details, Number(upload.dealCount) ? ` · ${messages.counts(upload)}` : null),
      error ? reasonElement(upload) : null,
    ),
    isRetained(upload) ? element("div", { class: "actions" }, ...actions(upload)) : null,
  );
}

/** Until the details have been read, and if there are none, the reason is the message of the service, in English. */
const reasonElement = (upload) =>
  element(
    "details",
    { ontoggle: () => readReason(upload) },
    element("summary", {}, messages.whyRejected),
    ...(reasons.get(upload.id)?.() ?? [element("p", { lang: "en" }, upload.error)]),
  );

async function readReason(upload) {
  if (reasons.has(upload.id)) return;
  try {
    const read = await (await readModules()).readReasons(upload);
    if (read) reasons.set(upload.id, read);
  } catch {
    return; // opening it again repeats the request
  }
  drawHistory();
}

function actions(upload) {
  if (upload.isCurrent) return [stateLink({ upload: "", base: "" }, "clients-card", messages.showVersion)];
  return [
    stateLink({ upload: upload.id, base: "" }, "clients-card", messages.showVersion),
    stateLink({ base: upload.id, upload: "" }, "comparison-card", messages.compare),
    element("button", { type: "button", onclick: () => askToMakeCurrent(upload) }, messages.makeCurrent),
  ];
}

// Comparison of any two versions

/** The current version can be compared with another one by its link. */
function comparisonForm(versions) {
  if (versions.length < 3) return null;
  const selection = (id, label, selected) =>
    element(
      "label",
      {},
      element("span", {}, label),
      element(
        "select",
        { id, onchange: ({ target }) => edited.add(target) },
        ...versions.map((version) =>
          element("option", { value: version.id, key: version.id, selected: version === selected }, `${nameOf(version)}, ${formatEventTime(version.arrivedAt)}`),
        ),
      ),
    );
  const compare = (event) => {
    event.preventDefault();
    const head = byId("compared-head").value;
    const isCurrent = uploads.some(({ id, isCurrent }) => isCurrent && id === head);
    update({ base: byId("compared-base").value, upload: isCurrent ? "" : head }, { target: "comparison-card" });
  };
  return element(
    "form",
    { class: "filters", onsubmit: compare, "aria-label": messages.compareTwo },
    selection("compared-base", messages.olderVersion, versions.at(-1)),
    selection("compared-head", messages.newerVersion, versions[0]),
    element("button", {}, messages.showComparison),
  );
}

// Making a version current

async function askToMakeCurrent(upload) {
  const previous = uploads.find(({ isCurrent }) => isCurrent);
  if (await confirm(messages.confirmCurrent(nameOf(upload)), messages.confirmCurrentHint(messages.counts(upload)))) {
    await makeCurrent(upload, previous);
  }
}

/** Ask in a dialog; resolves to whether the reader agrees. */
function confirm(question, hint) {
  const dialog = element(
    "dialog",
    { "aria-labelledby": "question" },
    element("h2", { id: "question" }, question),
    element("p", {}, hint),
    element(
      "form",
      { method: "dialog" },
      element("button", { value: "yes", class: "primary" }, messages.makeCurrent),
      element("button", { value: "" }, messages.cancel),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    };
  });
}

/** Make a version current, and offer to make the previous one current again. */
async function makeCurrent(upload, previous) {
  try {
    const result = (await mutate(MAKE_CURRENT, { id: upload.id })).activateUpload;
    if (result.__typename !== "UploadActivated") throw Object.assign(new Error(result.message), { code: "upload_not_retained" });
    reading += 1; // drops a list that was read before
    setMessage(() => activationElements(upload, previous), upload.id);
  } catch (error) {
    setMessage(() => [describeError(error)]);
  }
  redraw("history-message", ...message());
  byId("history-message").focus(); // the button that was pressed disappears
  await onActivated();
}

function setMessage(elements, id = null) {
  message = elements;
  activatedId = id;
}

const activationElements = (upload, previous) => [
  messages.madeCurrent(nameOf(upload)),
  previous ? element("button", { type: "button", onclick: () => makeCurrent(previous, null) }, messages.undo) : null,
];
