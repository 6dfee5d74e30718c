// The tables of customers, gems and deals: their columns and filters.

import { formatDealTime, formatMoney, formatNumber } from "./formats.js";
import { messages } from "./i18n.js";
import { CUSTOMERS, DEALS, GEMS } from "./operations.js";
import { InfiniteTable } from "./tables.js";

const contains = (text) => (text ? { contains: text } : null);

const textFilter = (name, label) => ({ name, type: "search", label: messages.contains(label) });

const customers = new InfiniteTable({
  id: "customers",
  root: "customers",
  operation: CUSTOMERS,
  orderBy: "SPENT_MONEY_DESC",
  columns: [
    { title: () => messages.customer, order: "USERNAME", cell: (customer) => customer.username },
    { title: () => messages.spent, order: "SPENT_MONEY", numeric: true, cell: (customer) => formatMoney(customer.spentMoney) },
    { title: () => messages.dealCount, order: "DEAL_COUNT", numeric: true, cell: (customer) => formatNumber(customer.dealCount) },
    { title: () => messages.gemCount, numeric: true, cell: (customer) => formatNumber(customer.gemCount) },
    { title: () => messages.lastDeal, order: "LAST_DEAL", cell: (customer) => formatDealTime(customer.lastDeal) },
  ],
  filters: {
    fields: () => [textFilter("username", messages.customer)],
    from: ({ username }) => (username ? { username: contains(username) } : null),
  },
});

const gems = new InfiniteTable({
  id: "gems",
  root: "gems",
  operation: GEMS,
  orderBy: "TOTAL_DESC",
  columns: [
    { title: () => messages.gem, order: "NAME", cell: (gem) => gem.name },
    { title: () => messages.total, order: "TOTAL", numeric: true, cell: (gem) => formatMoney(gem.total) },
    { title: () => messages.dealCount, order: "DEAL_COUNT", numeric: true, cell: (gem) => formatNumber(gem.dealCount) },
    { title: () => messages.buyerCount, order: "BUYER_COUNT", numeric: true, cell: (gem) => formatNumber(gem.buyerCount) },
    { title: () => messages.lastDeal, cell: (gem) => formatDealTime(gem.lastDeal) },
  ],
  filters: {
    fields: () => [textFilter("name", messages.gem)],
    from: ({ name }) => (name ? { name: contains(name) } : null),
  },
});

const deals = new InfiniteTable({
  id: "deals",
  root: "deals",
  operation: DEALS,
  orderBy: "DATE_DESC",
  columns: [
    { title: () => messages.date, order: "DATE", cell: (deal) => formatDealTime(deal.date) },
    { title: () => messages.customer, cell: (deal) => deal.customer.username },
    { title: () => messages.gem, cell: (deal) => deal.gem.name },
    { title: () => messages.quantity, order: "QUANTITY", numeric: true, cell: (deal) => formatNumber(deal.quantity) },
    { title: () => messages.total, order: "TOTAL", numeric: true, cell: (deal) => formatMoney(deal.total) },
  ],
  filters: {
    fields: () => [
      textFilter("customer", messages.customer),
      textFilter("gem", messages.gem),
      { name: "since", type: "date", label: messages.from },
      { name: "until", type: "date", label: messages.until },
    ],
    from: ({ customer, gem, since, until }) => {
      const date = { gte: since ? `${since}T00:00:00Z` : null, lte: until ? `${until}T23:59:59.999999Z` : null };
      return { customer: contains(customer), gem: contains(gem), date: since || until ? date : null };
    },
  },
});

export const TABLES = [customers, gems, deals];
