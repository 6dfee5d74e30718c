// The comparison of the shown upload with another one: `base` in the state.

import { dealsOf } from "./deal_filter.js";
import { element } from "./dom.js";
import { eventTime, formatEventTime, formatNumber, moneyFormat, withSign } from "./formats.js";
import { messages } from "./i18n.js";
import { stateLink } from "./navigation.js";
import { CHANGED_CUSTOMERS, CHANGED_GEMS, COMPARE, VERSIONS } from "./operations.js";
import { tableCard } from "./tables.js";

const NO_NAME = "—";
/** Links to other versions that the page shows; the history has all of them. */
const MAX_VERSIONS = 3;

/** The other retained uploads, to compare the shown one with. */
export const versionsCard = {
  id: "versions",
  isPart: true,
  query: () => [VERSIONS, {}],
  render: ({ uploads }, state, upload) => {
    const others = uploads.nodes.filter(({ id, state }) => state === "LOADED" && id !== upload.id);
    const links = others.slice(0, MAX_VERSIONS).map(versionLink);
    return links.length ? element("ul", { class: "versions", "aria-label": messages.comparison }, ...links) : [];
  },
};

const versionLink = ({ id, fileName, arrivedAt }) =>
  element(
    "li",
    { key: id },
    stateLink({ base: id }, "comparison-card", messages.changesSince(fileName || NO_NAME, formatEventTime(arrivedAt))),
  );

const variablesOf = (state, upload) => (state.base ? { base: state.base, head: upload.id } : null);

export const comparisonCard = {
  id: "comparison",
  query: (state, upload) => state.base && [COMPARE, variablesOf(state, upload)],
  controls: () => [stateLink({ base: "" }, "clients-card", messages.closeComparison)],
  render: ({ compare }) => {
    const { base, head } = compare;
    const header = [
      element("td", {}),
      ...[base, head].map(({ fileName, arrivedAt }) =>
        element("th", { scope: "col", class: "numeric" }, fileName || NO_NAME, element("br"), eventTime(arrivedAt)),
      ),
      element("th", { scope: "col", class: "numeric" }, messages.difference),
    ];
    const totals = [base, head].map(({ dealStats }) => dealStats.nodes[0]?.total ?? "0");
    const format = moneyFormat([...totals, compare.totalDifference]);
    const rows = [
      countRow(messages.deals, base.dealCount, head.dealCount, compare.dealCountDifference),
      countRow(messages.customers, base.customerCount, head.customerCount, compare.customerCountDifference),
      countRow(messages.gems, base.gemCount, head.gemCount, compare.gemCountDifference),
      row(messages.sum, ...totals.map(format), withSign(format)(compare.totalDifference)),
    ];
    return [
      element("table", { class: "summary" }, element("thead", {}, element("tr", {}, ...header)), element("tbody", {}, ...rows)),
      element("p", {}, `${messages.customers}: ${messages.changeCounts(numbers(compare.customerCounts))}`),
      element("p", {}, `${messages.gems}: ${messages.changeCounts(numbers(compare.gemCounts))}`),
    ];
  },
};

const numbers = (counts) => Object.fromEntries(Object.entries(counts).map(([key, count]) => [key, formatNumber(count)]));

const row = (title, ...cells) =>
  element("tr", {}, element("th", { scope: "row" }, title), ...cells.map((cell) => element("td", { class: "numeric" }, cell)));

const countRow = (title, base, head, difference) =>
  row(title, formatNumber(base), formatNumber(head), withSign(formatNumber)(difference));

function changesCard({ id, operation, connection, name, money, difference, key }) {
  return tableCard({
    id,
    isSortedByPage: true,
    operation,
    variables: variablesOf,
    connection,
    rowCount: (data) => connection(data).totalCount,
    rowKey: (node) => node[name],
    countText: (count) => (count ? messages.changedRows(formatNumber(count)) : messages.noChanges),
    columns: [
      {
        key: name, type: "name", order: "NAME", title: () => messages[key],
        value: (node) => node[name],
        link: (node, content) => (node.head ? stateLink(dealsOf({ [key]: [node[name]] }), "deals-card", content) : content),
      },
      {
        key: "change", type: "text", order: "CHANGE", title: () => messages.change,
        value: ({ change }) => change,
        format: (change) => messages.changes[change],
      },
      { key: "base", type: "money", order: "BASE", title: () => messages.before, value: ({ base }) => base?.[money] },
      { key: "head", type: "money", order: "HEAD", title: () => messages.after, value: ({ head }) => head?.[money] },
      {
        key: difference, type: "money", order: "DIFFERENCE", isDifference: true, title: () => messages.difference,
        value: (node) => node[difference],
      },
      {
        key: "dealCountDifference", type: "count", order: "DEALS", isDifference: true, title: () => messages.dealDifference,
        value: ({ dealCountDifference }) => dealCountDifference,
      },
    ],
  });
}

export const changedCustomersTable = changesCard({
  id: "changed-customers",
  operation: CHANGED_CUSTOMERS,
  connection: ({ compare }) => compare.customers,
  name: "username",
  money: "spentMoney",
  difference: "spentMoneyDifference",
  key: "customer",
});

export const changedGemsTable = changesCard({
  id: "changed-gems",
  operation: CHANGED_GEMS,
  connection: ({ compare }) => compare.gems,
  name: "name",
  money: "total",
  difference: "totalDifference",
  key: "gem",
});
