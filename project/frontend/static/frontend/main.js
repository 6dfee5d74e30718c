// The page: which upload is shown, its cards, and controls. Files are uploaded over REST, data is read over GraphQL.
//
// How a section plugs in: the address is the state of the view (state.js). A section is a card (cards.js): it derives
// one query from the state and renders its result; links (navigation.js) change the state, after which all cards are
// drawn again. A new card needs an element in page.html, an operation in operations.js, and a line in CARDS. Texts are
// in messages_*.js, formats in formats.js.

import { announce, drawAnnouncement } from "./announcement.js";
import { drawCards, forgetCards, prime, retryUnreachable, startCards } from "./cards.js";
import { CHART_CARDS, startCharts } from "./charts.js";
import { changedCustomersTable, changedGemsTable, comparisonCard, versionsCard } from "./comparison.js";
import { customersTable, dealsTable, gemsTable } from "./data_tables.js";
import { byId, element, redraw, show } from "./dom.js";
import { describeError } from "./errors.js";
import { dealControls, FACETS } from "./facets.js";
import { query, token } from "./graphql_client.js";
import { drawHistory, readHistory, startHistory } from "./history.js";
import { messages } from "./i18n.js";
import { reveal, startNavigation, stateLink } from "./navigation.js";
import { CURRENT, SHOWN } from "./operations.js";
import { clientsCard, uploadFacts, uploadName } from "./overview.js";
import { startPreferences } from "./preferences.js";
import { copying } from "./share.js";
import { getState, startState, subscribe, update } from "./state.js";
import { isUploading, retryUpload, startUploads, translateUploads } from "./uploads.js";

/** Interval between checks for a new upload. Most responses are 304, without a body. */
const REFRESH_MS = 3000;

const TABLES = [changedCustomersTable, changedGemsTable, dealsTable, customersTable, gemsTable];
const CARDS = [clientsCard, versionsCard, comparisonCard, ...CHART_CARDS, ...FACETS, ...TABLES];

// The shown upload

let shown; // null without data; undefined before the first response

/** Return what the cards show: the state and the upload; null without an upload. */
const view = () => shown && [getState(), shown];

/** Read the upload that the state selects; null if there is none. */
async function readUpload(id) {
  const read = id ? await query(SHOWN, { upload: id }) : await query(CURRENT);
  return read.shown;
}

/** Read the shown upload, and draw the page if it has changed. A check announces the upload of another client instead. */
async function refresh({ isCheck = false } = {}) {
  const id = getState().upload;
  try {
    const next = await readUpload(id);
    if (id !== getState().upload) return;
    const wasUnreachable = !byId("connection-error").hidden;
    byId("connection-error").hidden = true;
    const isNew = shown === undefined || next?.id !== shown?.id;
    if (isNew && isCheck && shown && next && !id) announceUpload(next);
    else {
      announce(null);
      if (isNew || next?.isCurrent !== shown?.isCurrent) await showUpload(next);
    }
    if (wasUnreachable) retryUnreachable();
  } catch (error) {
    showError(error);
  }
}

/** Announce an upload that became current, and keep the reader's place. */
function announceUpload(next) {
  if (isUploading() || !announce(next, () => refresh())) return; // the page shows its own upload when it has ended
  shown = { ...shown, isCurrent: false };
  draw();
  readHistory();
}

/** Show the current upload after this page has changed it. */
async function showCurrent() {
  if (getState().upload) update({ upload: "" }); // its listener reads the upload
  else await refresh();
  await readHistory();
}

function showError(error) {
  byId("connection-error").hidden = false;
  if (!shown) byId("data").hidden = true;
  const isGone = ["upload_not_retained", "bad_input"].includes(error.code) && getState().upload;
  const current = isGone ? [" ", stateLink({ upload: "" }, "", messages.showCurrent)] : [];
  redraw("connection-error", describeError(error), ...current);
}

async function showUpload(next) {
  const isFirst = shown === undefined;
  shown = next;
  byId("data").hidden = !next;
  byId("empty").hidden = Boolean(next);
  // The ranking was read with the upload.
  if (next) prime(clientsCard, { topClients: next.topClients });
  draw();
  if (isFirst && location.hash) reveal(location.hash.slice(1));
  await readHistory();
}

/** Draw everything that depends on the state, the shown upload or the language. */
function draw() {
  if (!shown) return;
  redraw("current", ...uploadName(shown));
  redraw("facts", ...uploadFacts(shown));
  redraw("deal-controls", ...dealControls(getState()));
  drawCards();
}

function readAgain() {
  shown = undefined;
  forgetCards();
  return refresh();
}

async function refreshRepeatedly() {
  if (!document.hidden) await refresh({ isCheck: true });
  setTimeout(refreshRepeatedly, REFRESH_MS);
}

// Controls

function changeLanguage() {
  translateUploads();
  drawAnnouncement();
  draw();
  drawHistory();
}

/** Whether a key is Ctrl+P or ⌘P, also on keyboards without Latin letters. */
const isPrintKey = ({ key, code, ctrlKey, metaKey, shiftKey, altKey }) =>
  (ctrlKey || metaKey) && !shiftKey && !altKey && (/^[a-z]$/i.test(key) ? key.toLowerCase() === "p" : code === "KeyP");

function preparePrinting() {
  const printAll = () => import("./printing.js").then((module) => module.printAll(TABLES), () => print());
  byId("print").addEventListener("click", printAll);
  // The menu of the browser prints the rows that have been read; the page shows how many there are.
  addEventListener("keydown", (event) => {
    if (!isPrintKey(event)) return;
    event.preventDefault();
    printAll();
  });
}

function prepareTokenForm() {
  const form = byId("token");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    token.set(byId("token-value").value);
    form.hidden = true;
    await readAgain();
    retryUpload();
  });
}

startState();
startCards(CARDS, view);
startNavigation();
subscribe(async (state, previous) => {
  if (state.upload !== previous.upload) await refresh();
  draw();
});
startPreferences(changeLanguage);
byId("copy-link").addEventListener("click", copying(() => ({ text: location.href })));
preparePrinting();
startCharts();
startHistory(showCurrent);
startUploads((hasChanged) => (hasChanged ? showCurrent() : readHistory()));
prepareTokenForm();
refreshRepeatedly();
