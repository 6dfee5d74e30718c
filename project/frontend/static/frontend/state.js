// The state of the view, which is the address: `?customer=…&from=2019-05-01`. Nothing else stores what is shown.

const text = () => ({ parse: ([value = ""]) => value, format: (value) => (value ? [value] : []) });

const list = () => ({ parse: (values) => values.filter(Boolean), format: (values) => values });

const isDay = (value) => /^\d{4}-\d\d-\d\d$/.test(value) && new Date(`${value}T00:00Z`).toJSON()?.startsWith(value);

/** A day such as 2019-05-01. */
const day = () => ({ ...text(), parse: ([value = ""]) => (isDay(value) ? value : "") });

/** One of several values; the first one is the default. */
const choice = (...values) => ({
  parse: ([value]) => (values.includes(value) ? value : values[0]),
  format: (value) => (value === values[0] ? [] : [value]),
});

/** A sort order in GraphQL: one of the keys with _ASC or _DESC. */
const order = (initial, ...keys) => choice(initial, ...keys.flatMap((key) => [`${key}_ASC`, `${key}_DESC`]));

/** Columns of a table; those after `more` are hidden at first. */
function columns(initial, more = []) {
  const names = [...initial, ...more];
  const known = (values) => names.filter((name) => values.includes(name));
  return {
    parse: ([value]) => known(value?.split(",") ?? initial),
    format: (value) => (String(known(value)) === String(known(initial)) ? [] : [known(value).join(",")]),
  };
}

/** The columns of differences between two uploads. */
const CHANGES = ["NAME", "CHANGE", "BASE", "HEAD", "DIFFERENCE", "DEALS"];

const PARAMETERS = {
  upload: text(), // id of a retained upload; "" for the current one
  base: text(), // id of the upload with which it is compared
  "changed-customersOrder": order("NAME_ASC", ...CHANGES),
  "changed-gemsOrder": order("NAME_ASC", ...CHANGES),
  customer: list(),
  gem: list(),
  from: day(), // inclusive, in UTC
  to: day(),
  search: text(),
  facets: list(), // the facets that are shown completely
  dealsOrder: order("DATE_DESC", "FILE", "DATE", "CUSTOMER", "GEM", "QUANTITY", "TOTAL"),
  dealsColumns: columns(["date", "customer", "gem", "quantity", "total"], ["rowNumber"]),
  customersSearch: text(),
  customersOrder: order("SPENT_MONEY_DESC", "USERNAME", "SPENT_MONEY", "DEAL_COUNT", "GEM_COUNT", "FIRST_DEAL", "LAST_DEAL"),
  customersColumns: columns(["username", "spentMoney", "dealCount", "gemCount", "lastDeal"], ["firstDeal"]),
  gemsSearch: text(),
  gemsOrder: order("TOTAL_DESC", "NAME", "TOTAL", "DEAL_COUNT", "BUYER_COUNT", "FIRST_DEAL", "LAST_DEAL"),
  gemsColumns: columns(["name", "total", "dealCount", "buyerCount", "lastDeal"], ["firstDeal"]),
  chartMeasure: choice("total", "dealCount", "quantity"),
  chartPeriod: choice("month", "day", "week", "quarter", "year"),
  chartSplit: choice("none", "gem", "customer"), // a chart over time for each of them
  chartGroup: choice("gem", "customer"), // that the ranking compares
  chartRows: choice("first", "all"),
};

/** Return the state in the query string of an address. Unknown parameters and values are ignored. */
export function parseState(search) {
  const parameters = new URLSearchParams(search);
  const entries = Object.entries(PARAMETERS).map(([name, { parse }]) => [name, parse(parameters.getAll(name))]);
  return Object.freeze(Object.fromEntries(entries));
}

/** Return the query string of a state, without the values that are the defaults. */
export function formatState(state) {
  const parameters = new URLSearchParams();
  for (const [name, { format }] of Object.entries(PARAMETERS)) {
    for (const value of format(state[name])) parameters.append(name, value);
  }
  return String(parameters) && `?${parameters}`;
}

const DEFAULTS = parseState("");
let current = DEFAULTS;
const listeners = new Set();

export const getState = () => current;

/** Return the state with changes, of which null means the default. */
function changed(changes) {
  const values = Object.entries(changes).map(([name, value]) => [name, value ?? DEFAULTS[name]]);
  return Object.freeze({ ...current, ...Object.fromEntries(values) });
}

/** Return the address of the current view with changes; `target` is the id of a section. */
export const urlOf = (changes = {}, target = "") =>
  location.pathname + formatState(changed(changes)) + (target && `#${target}`);

/** Change the state and the address. `replace` adds no entry to the history of the browser. */
export function update(changes, { target = "", replace = false } = {}) {
  const url = urlOf(changes, target);
  if (url !== location.pathname + location.search + location.hash) {
    history[replace ? "replaceState" : "pushState"](null, "", url);
  }
  set(changed(changes));
}

function set(next) {
  const previous = current;
  current = next;
  if (formatState(next) === formatState(previous)) return;
  for (const listener of listeners) listener(next, previous);
}

/** Call `listener(state, previous)` after each change, also by Back and Forward. */
export const subscribe = (listener) => listeners.add(listener);

/** Read the state from the address, now and after Back and Forward. */
export function startState() {
  current = parseState(location.search);
  addEventListener("popstate", () => set(parseState(location.search)));
}
