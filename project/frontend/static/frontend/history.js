// The files that arrived: which one is current, going back to another, and what differs between two.

import { byId, element, show } from "./dom.js";
import { ask, change } from "./graphql_client.js";
import { COMPARE, MAKE_CURRENT, UPLOADS } from "./operations.js";
import { moment, money, moneyLess, number, words } from "./i18n.js";

/** The newest files, and more on demand. `changed` is called when another one was made current. */
export async function historyOf(changed) {
  const body = element("tbody");
  const heads = [
    headOf(words.file),
    headOf(words.arrived),
    headOf(words.uploadedBy, "uploader"),
    headOf(words.state),
    headOf(words.deals, "numeric"),
    headOf(words.actions),
  ];
  const table = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads)),
    body,
  );
  const box = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words.history }, table);
  const more = element("button", { type: "button", onclick: () => telling(read) }, words.more);
  let after = null;
  let current;
  let hasUploaders = false; // the names come only with a token, and only where the service has tokens
  async function read() {
    const { nodes, pageInfo } = (await ask(UPLOADS, { after })).uploads;
    current = nodes.find((one) => one.isCurrent) ?? current;
    body.append(...nodes.map((one) => row(one, current, changed)));
    hasUploaders ||= nodes.some((one) => one.uploadedBy);
    for (const cell of table.querySelectorAll(".uploader")) cell.hidden = !hasUploaders;
    after = pageInfo.endCursor;
    more.hidden = !pageInfo.hasNextPage;
  }
  await read();
  return [box, more];
}

const headOf = (head, kind = null) => element("th", { scope: "col", class: kind }, head);

function row(upload, current, changed) {
  const actions = element("td", { class: "actions" });
  if (upload.state === "LOADED" && !upload.isCurrent) {
    const back = () => makeCurrent(upload, changed);
    actions.append(element("button", { type: "button", onclick: back }, words.makeCurrent));
    if (current) {
      const compare = () => telling(() => drawComparison(upload, current));
      actions.append(element("button", { type: "button", onclick: compare }, words.compare));
    }
  }
  const state = upload.isCurrent ? element("strong", {}, words.isCurrent) : words.states[upload.state];
  return element(
    "tr",
    { class: upload.isCurrent ? "current" : null },
    element("th", { scope: "row" }, upload.fileName || "—"),
    element("td", {}, moment(upload.arrivedAt)),
    element("td", { class: "uploader" }, upload.uploadedBy),
    element("td", { title: upload.error || null }, state),
    element("td", { class: "numeric" }, number(upload.dealCount)),
    actions,
  );
}

/** Does it, and says what it was refused. */
async function telling(action) {
  try {
    await action();
  } catch (error) {
    show("told", error.message);
    if (error.code === "token_required") byId("token").hidden = false;
  }
}

async function makeCurrent(upload, changed) {
  await telling(async () => {
    const outcome = (await change(MAKE_CURRENT, { id: upload.id })).activateUpload;
    const went = outcome.__typename === "UploadActivated";
    show("told", went ? words.madeCurrent(upload.fileName) : outcome.message);
  });
  await changed();
}

async function drawComparison(then, now) {
  const found = await ask(COMPARE, { then: then.id, now: now.id });
  const count = (name) => [name(found.then), name(found.now)].map(number);
  const sums = [found.totalThen, found.totalNow].map(([all]) => all?.total ?? "0");
  const facts = [
    [words.deals, ...count((one) => one.dealCount), number(found.now.dealCount - found.then.dealCount)],
    [words.customers, ...count((one) => one.customerCount), number(found.now.customerCount - found.then.customerCount)],
    [words.gems, ...count((one) => one.gemCount), number(found.now.gemCount - found.then.gemCount)],
    [words.sum, ...sums.map(money), money(moneyLess(sums[1], sums[0]))],
  ];
  const heads = ["", `${words.then}: ${then.fileName}`, `${words.now}: ${now.fileName}`, words.difference];
  const table = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads.map((head, place) => headOf(head, place > 0 ? "numeric" : null)))),
    element("tbody", {}, ...[...facts, ...clients(found)].map((cells) => comparedRow(cells))),
  );
  const heading = element("h3", { tabindex: "-1" }, words.comparison);
  const close = element("button", { type: "button", onclick: () => show("comparison") }, words.close);
  show("comparison", heading, element("div", { class: "scroll" }, table), close);
  heading.focus();
}

function comparedRow([what, then, now, difference]) {
  const cells = [then, now, difference].map((cell) => element("td", { class: "numeric" }, cell));
  return element("tr", {}, element("th", { scope: "row" }, what), ...cells);
}

/** Whoever is among the five of either file; who is not among those of the other has a dash there. */
function clients({ topThen, topNow }) {
  const [then, now] = [topThen, topNow].map((top) => new Map(top.map((one) => [one.username, one.spentMoney])));
  return [...new Set([...now.keys(), ...then.keys()])].map((username) => {
    const [before, after] = [then.get(username), now.get(username)];
    const difference = before && after ? money(moneyLess(after, before)) : "—";
    return [username, before ? money(before) : "—", after ? money(after) : "—", difference];
  });
}
