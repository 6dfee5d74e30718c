// Cards: the sections of the page. Each one shows the result of one query of the state.
//
// A card is an object with
// - `id`: of its element in page.html; the section around it has the id `${id}-card`
// - `query(state, upload)`: returns [operation, variables]; the result is kept until they change
// - `render(data, state, upload)`: returns an element or an array; called after each change of the state or language
// - `isEmpty(data)`: optional; whether to show that nothing matches the filters instead
// - `links(data, state, upload)`: optional; further elements for the footer

import { ALL_DEALS } from "./deal_filter.js";
import { byId, element, redraw } from "./dom.js";
import { describeError } from "./errors.js";
import { query } from "./graphql_client.js";
import { messages } from "./i18n.js";
import { stateLink } from "./navigation.js";
import { queryLinks } from "./share.js";

/** What each card shows: {key, data, error, isLoading}, where `key` identifies the query. */
const contents = new Map();

const keyOf = (queryOfCard) => JSON.stringify(queryOfCard);

/** Give a card the data of its query, which was read with those of another. */
export function prime(card, state, upload, data) {
  contents.set(card.id, { key: keyOf(card.query(state, upload)), data });
}

/** Forget the data of all cards. */
export const forgetCards = () => contents.clear();

/** Draw a card, and read its data if its query has changed. `view()` returns the latest [state, upload], or null. */
export async function drawCard(card, view) {
  const queryOfCard = card.query(...view());
  const content = contents.get(card.id);
  if (content?.key !== keyOf(queryOfCard)) await load(card, view, queryOfCard);
  else if (!content.isLoading) drawContent(card, view);
}

async function load(card, view, [operation, variables]) {
  const isFirst = !contents.get(card.id)?.data;
  const content = { key: keyOf([operation, variables]), isLoading: true };
  contents.set(card.id, content);
  byId(card.id).setAttribute("aria-busy", "true"); // the previous data remain until the new ones are there
  if (isFirst) redraw(card.id, element("p", { class: "status loading" }, messages.loading));
  try {
    content.data = await query(operation, variables);
  } catch (error) {
    content.error = error;
  }
  content.isLoading = false;
  // Otherwise another query was started in the meantime, or no upload is left.
  if (contents.get(card.id) === content && view()) drawContent(card, view);
}

function drawContent(card, view) {
  const content = contents.get(card.id);
  byId(card.id).setAttribute("aria-busy", "false");
  if (content.error) redraw(card.id, failure(content.error, () => retry(card, view)));
  else redraw(card.id, body(card, content.data, view()), footer(card, content.data, view()));
}

function retry(card, view) {
  contents.delete(card.id);
  return drawCard(card, view);
}

const failure = (error, onRetry) =>
  element(
    "div",
    { class: "failure", role: "alert" },
    element("p", { class: "bad" }, describeError(error)),
    element("button", { type: "button", onclick: onRetry }, messages.retry),
  );

function body(card, data, view) {
  if (!card.isEmpty?.(data)) return card.render(data, ...view);
  const reset = stateLink(ALL_DEALS, "", messages.resetFilters);
  return element("p", { class: "status" }, `${messages.nothingMatches} `, reset);
}

function footer(card, data, [state, upload]) {
  const own = card.links?.(data, state, upload) ?? [];
  return element("div", { class: "links", key: "links" }, ...own, ...queryLinks(...card.query(state, upload), upload));
}
