// node --test page.test.mjs: the modules of the web page that need no browser.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

// The few properties of a browser that the modules read.
const address = new URL("http://localhost/deals/?unknown=1&gem=%D0%A0%D1%83%D0%B1%D0%B8%D0%BD");
const listeners = [];
Object.assign(globalThis, {
  location: address,
  history: {
    pushState: (state, title, url) => Object.assign(address, split(url)),
    replaceState: (state, title, url) => Object.assign(address, split(url)),
  },
  addEventListener: (kind, listener) => listeners.push(listener),
  document: { baseURI: "http://localhost/deals/" },
  localStorage: { getItem: () => "en", setItem() {} },
  sessionStorage: { getItem: () => "" },
});
Object.defineProperty(globalThis, "navigator", { value: { language: "en-US", languages: ["en-US", "ru"] } });

function split(url) {
  const { pathname, search, hash } = new URL(url, address);
  return { pathname, search, hash };
}

const modules = new URL("../../project/frontend/static/frontend/", import.meta.url);
const load = (name) => import(new URL(name, modules));
const state = await load("state.js");
const filters = await load("deal_filter.js");
const formats = await load("formats.js");
const i18n = await load("i18n.js");
const share = await load("share.js");
const exporting = await load("export.js");
state.startState();

test("the state is read from the address and written to it", () => {
  assert.deepEqual(state.getState().gem, ["Рубин"]);
  const changes = [];
  state.subscribe((now, before) => changes.push([before.from, now.from]));
  state.update({ gem: [], from: "2019-05-01", customer: ["a&b", "c d"] }, { target: "deals-card" });
  assert.equal(address.pathname + address.search + address.hash, "/deals/?customer=a%26b&customer=c+d&from=2019-05-01#deals-card");
  state.update({ from: "2019-05-01" });
  assert.deepEqual(changes, [["", "2019-05-01"]]);
  assert.deepEqual(state.parseState(address.search), state.getState());
  state.update({ from: null, customer: null });
  assert.equal(state.urlOf({}), "/deals/");
});

test("Back and Forward change the state", () => {
  address.search = "?to=2020-01-31&dealsOrder=TOTAL_ASC";
  for (const listener of listeners) listener();
  assert.equal(state.getState().to, "2020-01-31");
  assert.equal(state.getState().dealsOrder, "TOTAL_ASC");
  address.search = "";
  for (const listener of listeners) listener();
});

test("invalid values in the address are ignored", () => {
  const search = "?from=2019-02-30&to=x&dealsOrder=PRICE_ASC&chartPeriod=hour&dealsColumns=total,date,secret&gem=";
  const parsed = state.parseState(search);
  assert.deepEqual([parsed.from, parsed.to, parsed.dealsOrder, parsed.chartPeriod], ["", "", "DATE_DESC", "month"]);
  assert.deepEqual([parsed.dealsColumns, parsed.gem], [["date", "total"], []]);
  assert.equal(state.formatState(parsed), "?dealsColumns=date%2Ctotal");
});

test("the documented parameters of the address exist", () => {
  const readme = readFileSync(new URL("../../project/README.md", import.meta.url), "utf8");
  const table = readme.split("## The web page")[1].split("\n## ")[0];
  const documented = [...table.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, names]) => names.split(", "));
  assert.ok(documented.length > 10);
  for (const name of documented) assert.ok(name.replaceAll("`", "") in state.getState(), name);
});

test("the filter of deals contains the last day, and leaves one dimension out", () => {
  const view = { ...state.parseState("?customer=ann&gem=ruby&gem=opal&from=2019-12-01&to=2019-12-31&search=r") };
  const date = { gte: "2019-12-01T00:00:00Z", lt: "2020-01-01T00:00:00Z" };
  const OR = [{ customer: { iContains: "r" } }, { gem: { iContains: "r" } }];
  assert.deepEqual(filters.dealFilter(view), { customer: { eq: "ann" }, gem: { in: ["ruby", "opal"] }, date, OR });
  assert.deepEqual(filters.dealFilter(view, "gem"), { customer: { eq: "ann" }, date, OR });
  assert.equal(filters.dealFilter(state.parseState("?gem=ruby"), "gem"), null);
});

test("periods end with their last day", () => {
  assert.deepEqual(filters.monthRange("2020-02-01"), { from: "2020-02-01", to: "2020-02-29" });
  assert.deepEqual(filters.monthRange("2018-12-01"), { from: "2018-12-01", to: "2018-12-31" });
  assert.equal(filters.monthOf({ from: "2020-02-01", to: "2020-02-29" }), "2020-02-01");
  assert.equal(filters.monthOf({ from: "2020-02-01", to: "2020-02-28" }), "");
});

test("amounts are exact and aligned", () => {
  assert.equal(formats.formatMoney("92233720368547758.07"), "92,233,720,368,547,758.07");
  assert.equal(formats.formatMoney("-0.5"), "−0.50");
  assert.deepEqual(["1", "2.5"].map(formats.moneyFormat(["1", "2.5"])), ["1.00", "2.50"]);
  assert.equal(formats.moneyFormat(["7", "8"])("7"), "7");
  assert.equal(formats.subtractMoney("0.01", "451731"), "-451730.99");
  assert.equal(formats.addMoney("0.1", "0.2", "-1"), "-0.70");
  assert.equal(formats.formatNumber(-1234), "−1,234");
});

test("deals are in UTC, and events in the time zone of the reader", () => {
  process.env.TZ = "Asia/Tokyo";
  assert.equal(formats.formatDealTime("2018-12-14T08:29:52Z"), "Dec 14, 2018, 8:29 AM");
  assert.equal(formats.formatEventTime("2018-12-14T08:29:52Z"), "Dec 14, 2018, 5:29 PM");
  assert.equal(formats.formatMonth("2019-05-01"), "May 2019");
});

test("numbers follow the region and the language", () => {
  i18n.setLanguage("en");
  assert.equal(i18n.locale(), "en-US");
  assert.equal(i18n.messages.countDeals(1), "1 deal");
  globalThis.localStorage.getItem = () => "ru";
  i18n.setLanguage("ru");
  assert.equal(formats.formatMoney("1234567.5").replace(/\s/g, " "), "1 234 567,50");
  assert.deepEqual([1, 3, 5, 21].map(i18n.messages.countDeals), ["1 сделка", "3 сделки", "5 сделок", "21 сделка"]);
  globalThis.localStorage.getItem = () => "en";
  i18n.setLanguage("en");
});

test("queries are shared without null, and without the current upload", () => {
  const url = new URL(share.graphiqlUrl("query Q { a }", { first: 1 }));
  assert.equal(url.pathname, "/deals/graphql/");
  const fragment = new URLSearchParams(url.hash.slice(1));
  assert.equal(fragment.get("query"), "query Q { a }");
  assert.deepEqual(JSON.parse(fragment.get("variables")), { first: 1 });
  const variables = { upload: "u", filter: null, first: 2 };
  assert.deepEqual(share.sharedVariables(variables, { id: "u", isCurrent: true }), { first: 2 });
  assert.deepEqual(share.sharedVariables(variables, { id: "u", isCurrent: false }), { upload: "u", first: 2 });
});

test("a command quotes names", () => {
  assert.equal(
    share.curlCommand("{ a }", { gem: "o'pal" }),
    "curl --get 'http://localhost/deals/graphql/' \\\n  --data-urlencode 'query={ a }' \\\n" +
      `  --data-urlencode 'variables={"gem":"o'\\''pal"}'`,
  );
});

test("files of tables are safe for spreadsheets, and exact for programs", () => {
  const columns = [
    { key: "name", type: "name", value: ({ name }) => name },
    { key: "total", type: "money", value: ({ total }) => total },
    { key: "date", type: "time", value: ({ date }) => date },
  ];
  const rows = [
    { name: '=cmd|"x"', total: "0.10", date: "2018-12-14T08:29:52.506166Z" },
    { name: "a;+b, c", total: null, date: "2019-01-01T00:00:00Z" },
  ];
  assert.equal(
    exporting.asCsv(columns, rows),
    `\ufeffname,total,date\r\n"'=cmd|""x""",0.10,2018-12-14 08:29:52.506166\r\n"a;'+b, c",,2019-01-01 00:00:00\r\n`,
  );
  assert.equal(
    exporting.asNdjson(columns, rows),
    '{"name":"=cmd|\\"x\\"","total":0.10,"date":"2018-12-14T08:29:52.506166Z"}\n' +
      '{"name":"a;+b, c","total":null,"date":"2019-01-01T00:00:00Z"}\n',
  );
});

test("all texts exist in both languages, once", async () => {
  const parts = await Promise.all(["report", "charts", "uploads", "outcomes"].map((part) => load(`messages_${part}.js`)));
  const shape = (value) => (typeof value === "object" ? Object.entries(value).map(([key, inner]) => [key, shape(inner)]) : typeof value);
  for (const { MESSAGES } of parts) assert.deepEqual(shape(MESSAGES.en), shape(MESSAGES.ru));
  const keys = parts.flatMap(({ MESSAGES }) => Object.keys(MESSAGES.en));
  assert.equal(new Set(keys).size, keys.length);
});
