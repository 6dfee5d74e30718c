// Cards: the sections of the page. Each one shows the result of one query of the state.
//
// A card is an object with
// - `id`: of its element in page.html; the section around it, if any, has the id `${id}-card`
// - `query(state, upload)`: returns [operation, variables], or null if the card is hidden in this state; of a card with
//   `read`, it is the main query, followed by the values of the state on which the data depend in addition
// - `read(state, upload)`: optional; reads the data, if they need several queries
// - `render(data, state, upload)`: returns an element or an array; called after each change of the state or language
// - `controls(state, upload)`: optional; elements above the data, which are there while the data are read, too
// - `explain(error, state)`: optional; elements instead of the message of an error, or null
// - `isEmpty(data)`: optional; whether to show that nothing matches the filters instead
// - `links(data, state, upload)`: optional; further elements for the footer
// - `isPart`: optional; whether it belongs to another card, and has no footer

import { ALL_DEALS } from "./deal_filter.js";
import { byId, element, redraw } from "./dom.js";
import { describeError } from "./errors.js";
import { query } from "./graphql_client.js";
import { messages } from "./i18n.js";
import { stateLink } from "./navigation.js";
import { queryLinks } from "./share.js";

let cards = [];
/** Return the latest [state, upload]; null without an upload. */
let view = () => null;

/** What each card shows: {key, data, error, isLoading}, where `key` identifies the query. */
const contents = new Map();

export function startCards(allCards, latestView) {
  cards = allCards;
  view = latestView;
}

const keyOf = (upload, queryOfCard) => JSON.stringify([upload.id, queryOfCard]);

/** Return [operation, variables] of a card in the latest state. */
export const currentQuery = (card) => card.query(...view());

/** Return what a card shows; undefined while it has no data. */
export const dataOf = (card) => contents.get(card.id)?.data;

/** Give a card the data of its query, which was read with those of another. */
export function prime(card, data) {
  const [state, upload] = view();
  contents.set(card.id, { key: keyOf(upload, card.query(state, upload)), data });
}

/** Forget the data of all cards. */
export const forgetCards = () => contents.clear();

/** Draw all cards in the latest state. Only those whose query has changed read data. */
export function drawCards() {
  if (view()) cards.forEach(drawCard);
}

export async function drawCard(card) {
  const [state, upload] = view();
  const queryOfCard = card.query(state, upload);
  const container = byId(card.id);
  (byId(`${card.id}-card`) ?? container).hidden = !queryOfCard;
  if (!queryOfCard) {
    contents.delete(card.id);
    return;
  }
  if (!container.firstChild) container.append(...["controls", "content", "links"].map((part) => partOf(card, part)));
  redraw(`${card.id}-controls`, card.controls?.(state, upload) ?? []);
  const content = contents.get(card.id);
  if (content?.key !== keyOf(upload, queryOfCard)) await load(card, upload, queryOfCard);
  else if (!content.isLoading) drawContent(card);
}

const partOf = (card, part) => element("div", { id: `${card.id}-${part}`, class: part });

async function load(card, upload, queryOfCard) {
  const isFirst = !contents.get(card.id)?.data;
  const [operation, variables] = queryOfCard;
  const content = { key: keyOf(upload, queryOfCard), isLoading: true };
  contents.set(card.id, content);
  byId(`${card.id}-content`).setAttribute("aria-busy", "true"); // the previous data remain until the new ones are there
  if (isFirst) redraw(`${card.id}-content`, element("p", { class: "status loading" }, messages.loading));
  try {
    content.data = await (card.read ? card.read(...view()) : query(operation, variables));
  } catch (error) {
    content.error = error;
  }
  content.isLoading = false;
  // Otherwise another query was started in the meantime, or no upload is left.
  if (contents.get(card.id) === content && view()) drawContent(card);
}

function drawContent(card) {
  const [state, upload] = view();
  const { data, error } = contents.get(card.id);
  byId(`${card.id}-content`).setAttribute("aria-busy", "false");
  const elements = error
    ? (card.explain?.(error, state) ?? failure(error, () => retry(card)))
    : body(card, data, state, upload);
  redraw(`${card.id}-content`, ...[elements].flat());
  if (card.isPart) return;
  const own = (data && !card.isEmpty?.(data) && card.links?.(data, state, upload)) || [];
  const [operation, variables] = card.query(state, upload);
  redraw(`${card.id}-links`, ...own, ...queryLinks(operation, variables, upload));
}

function retry(card) {
  contents.delete(card.id);
  return drawCard(card);
}

/** Read the cards again that failed because the service did not respond. */
export function retryUnreachable() {
  cards.filter(({ id }) => contents.get(id)?.error?.code === "no_response").forEach(retry);
}

const failure = (error, onRetry) =>
  element(
    "div",
    { class: "failure", role: "alert" },
    element("p", { class: "bad" }, describeError(error)),
    element("button", { type: "button", onclick: onRetry }, messages.retry),
  );

const body = (card, data, state, upload) => (card.isEmpty?.(data) ? nothingMatches() : card.render(data, state, upload));

const nothingMatches = () =>
  element(
    "p",
    { class: "status", role: "status" },
    `${messages.nothingMatches} `,
    stateLink(ALL_DEALS, "", messages.resetFilters),
  );
