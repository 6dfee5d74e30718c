// The card of the shown upload: its name and counts, and its top clients.

import { dealsOf } from "./deal_filter.js";
import { element } from "./dom.js";
import { downloadLink, exportUrl } from "./export.js";
import { eventTime, formatMoney, formatNumber, moneyFormat } from "./formats.js";
import { messages } from "./i18n.js";
import { stateLink, styledLink } from "./navigation.js";
import { TOP_CLIENTS } from "./operations.js";

export const clientsCard = {
  id: "clients",
  query: (state, upload) => [TOP_CLIENTS, { upload: upload.id }],
  render: ({ topClients }) => {
    const format = moneyFormat(topClients.map(({ spentMoney }) => spentMoney));
    return element("ol", { class: "clients" }, ...topClients.map((client) => clientItem(client, format)));
  },
  links: (data, state, upload) => [
    downloadLink(exportUrl("top-clients.csv", { upload: upload.id }), "CSV"),
    downloadLink(exportUrl("top-clients.ndjson", { upload: upload.id }), "NDJSON"),
  ],
};

function clientItem({ username, spentMoney, gems }, format) {
  const gemItem = (gem) =>
    element("li", { key: gem }, styledLink(dealsOf({ customer: [username], gem: [gem] }), "deals-card", { class: "gem" }, gem));
  return element(
    "li",
    { key: username },
    element("span", { class: "name" }, stateLink(dealsOf({ customer: [username] }), "deals-card", username)),
    element("span", { class: "money" }, format(spentMoney)),
    element(
      "ul",
      { "aria-label": messages.sharedGems },
      ...(gems.length ? gems.map(gemItem) : [element("li", { class: "none" }, messages.noSharedGems)]),
    ),
  );
}

const fact = (name, value, changes, target) =>
  element("div", {}, element("dt", {}, name), element("dd", {}, stateLink(changes, target, value)));

/** Return the name of the file and the time of its upload. */
export function uploadName(upload) {
  const name = [messages.currentFile(upload.fileName || "—"), eventTime(upload.arrivedAt)];
  return upload.isCurrent ? name : [...name, ". ", messages.earlierFile, " ", stateLink({ upload: "" }, "", messages.showCurrent)];
}

/** Return the counts of a file, as terms of a description list. */
export function uploadFacts(upload) {
  const [total] = upload.dealStats.nodes;
  return [
    fact(messages.deals, formatNumber(upload.dealCount), dealsOf({}), "deals-card"),
    fact(messages.customers, formatNumber(upload.customerCount), {}, "customers-card"),
    fact(messages.gems, formatNumber(upload.gemCount), {}, "gems-card"),
    fact(messages.total, formatMoney(total?.total ?? "0"), dealsOf({}), "deals-card"),
  ];
}
