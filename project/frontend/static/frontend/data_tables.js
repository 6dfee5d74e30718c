// The tables of deals, customers and gems.

import { dealFilter, dealsOf } from "./deal_filter.js";
import { exportUrl } from "./export.js";
import { stateField, stateForm } from "./fields.js";
import { formatNumber } from "./formats.js";
import { messages } from "./i18n.js";
import { stateLink } from "./navigation.js";
import { CUSTOMERS, DEALS, GEMS } from "./operations.js";
import { tableCard } from "./tables.js";

const totalsOf = ({ dealStats }) => dealStats.nodes[0] ?? null;

const containing = (text) => (text ? { iContains: text } : null);

/** Return a link to the deals of a customer or a gem; `key` is "customer" or "gem". */
const dealsLink = (key, name, content) => stateLink(dealsOf({ [key]: [name] }), "deals-card", content);

/** Return a link to the same deals, with all values of a facet. */
const facetLink = (key, name, facet, content) =>
  stateLink(dealsOf({ [key]: [name], facets: [facet] }), "deals-card", content);

export const dealsTable = tableCard({
  id: "deals",
  operation: DEALS,
  variables: (state, upload) => ({ upload: upload.id, filter: dealFilter(state) }),
  connection: ({ deals }) => deals,
  totals: totalsOf,
  rowCount: (data) => totalsOf(data)?.dealCount ?? 0,
  rowKey: ({ id }) => id,
  isEmpty: ({ deals }) => !deals.nodes.length,
  countText: (count) => messages.countDeals(count),
  exportUrl: (format, { dealsOrder, ...state }, upload) => {
    const filter = dealFilter(state);
    return exportUrl(`deals.${format}`, {
      upload: upload.id, filter: filter && JSON.stringify(filter), orderBy: dealsOrder,
    });
  },
  columns: [
    { key: "date", type: "time", order: "DATE", title: () => messages.dateUtc, value: ({ date }) => date },
    {
      key: "customer", type: "name", order: "CUSTOMER", title: () => messages.customer,
      value: ({ customer }) => customer.username,
      link: ({ customer }, content) => stateLink({ customer: [customer.username] }, "", content),
    },
    {
      key: "gem", type: "name", order: "GEM", title: () => messages.gem,
      value: ({ gem }) => gem.name,
      link: ({ gem }, content) => stateLink({ gem: [gem.name] }, "", content),
    },
    { key: "quantity", type: "count", order: "QUANTITY", title: () => messages.quantity, value: ({ quantity }) => quantity },
    { key: "total", type: "money", order: "TOTAL", title: () => messages.total, value: ({ total }) => total },
    { key: "rowNumber", type: "count", order: "FILE", title: () => messages.rowNumber, value: ({ rowNumber }) => rowNumber },
  ],
});

export const customersTable = tableCard({
  id: "customers",
  operation: CUSTOMERS,
  variables: ({ customersSearch }, upload) => {
    const username = containing(customersSearch);
    return { upload: upload.id, filter: username && { username }, deals: username && { customer: username } };
  },
  connection: ({ customers }) => customers,
  totals: (data) => ({ spentMoney: totalsOf(data)?.total, dealCount: totalsOf(data)?.dealCount }),
  rowCount: ({ customers }) => customers.totalCount,
  rowKey: ({ id }) => id,
  countText: (count) => messages.found(formatNumber(count)),
  controls: () => [
    stateForm(messages.customers, stateField("customersSearch", "search", messages.contains(messages.customer))),
  ],
  columns: [
    {
      key: "username", type: "name", order: "USERNAME", title: () => messages.customer,
      value: ({ username }) => username,
      link: ({ username }, content) => dealsLink("customer", username, content),
    },
    { key: "spentMoney", type: "money", order: "SPENT_MONEY", title: () => messages.spent, value: ({ spentMoney }) => spentMoney },
    {
      key: "dealCount", type: "count", order: "DEAL_COUNT", title: () => messages.dealCount,
      value: ({ dealCount }) => dealCount,
      link: ({ username }, content) => dealsLink("customer", username, content),
    },
    {
      key: "gemCount", type: "count", order: "GEM_COUNT", title: () => messages.gemCount,
      value: ({ gemCount }) => gemCount,
      link: ({ username }, content) => facetLink("customer", username, "gem-facet", content),
    },
    { key: "lastDeal", type: "time", order: "LAST_DEAL", title: () => messages.lastDealUtc, value: ({ lastDeal }) => lastDeal },
    { key: "firstDeal", type: "time", order: "FIRST_DEAL", title: () => messages.firstDealUtc, value: ({ firstDeal }) => firstDeal },
  ],
});

export const gemsTable = tableCard({
  id: "gems",
  operation: GEMS,
  variables: ({ gemsSearch }, upload) => {
    const name = containing(gemsSearch);
    return { upload: upload.id, filter: name && { name }, deals: name && { gem: name } };
  },
  connection: ({ gems }) => gems,
  totals: (data) => ({ total: totalsOf(data)?.total, dealCount: totalsOf(data)?.dealCount }),
  rowCount: ({ gems }) => gems.totalCount,
  rowKey: ({ id }) => id,
  countText: (count) => messages.found(formatNumber(count)),
  controls: () => [stateForm(messages.gems, stateField("gemsSearch", "search", messages.contains(messages.gem)))],
  columns: [
    {
      key: "name", type: "name", order: "NAME", title: () => messages.gem,
      value: ({ name }) => name,
      link: ({ name }, content) => dealsLink("gem", name, content),
    },
    { key: "total", type: "money", order: "TOTAL", title: () => messages.total, value: ({ total }) => total },
    {
      key: "dealCount", type: "count", order: "DEAL_COUNT", title: () => messages.dealCount,
      value: ({ dealCount }) => dealCount,
      link: ({ name }, content) => dealsLink("gem", name, content),
    },
    {
      key: "buyerCount", type: "count", order: "BUYER_COUNT", title: () => messages.buyerCount,
      value: ({ buyerCount }) => buyerCount,
      link: ({ name }, content) => facetLink("gem", name, "customer-facet", content),
    },
    { key: "lastDeal", type: "time", order: "LAST_DEAL", title: () => messages.lastDealUtc, value: ({ lastDeal }) => lastDeal },
    { key: "firstDeal", type: "time", order: "FIRST_DEAL", title: () => messages.firstDealUtc, value: ({ firstDeal }) => firstDeal },
  ],
});
