// The page: what is on it, when it is drawn anew, and what its controls do.

import { columnsOf, rowsOf } from "./charts.js";
import { byId, element, show } from "./dom.js";
import { ask, token } from "./graphql_client.js";
import { historyOf } from "./history.js";
import { CURRENT, CUSTOMERS, DEALS, GEMS, MONEY_BY_GEM, MONEY_BY_MONTH, TOP_CLIENTS } from "./operations.js";
import { EndlessTable } from "./tables.js";
import { upload } from "./upload.js";
import { LANGUAGES, language, moment, money, month, number, speak, words } from "./i18n.js";

/** How often the service is asked whether there is something new: mostly 304, without a body. */
const EVERY_MS = 3000;

const contains = (text) => (text ? { contains: text } : null);

const TABLES = [
  new EndlessTable({
    id: "customers",
    root: "customers",
    query: CUSTOMERS,
    orderBy: "SPENT_MONEY_DESC",
    columns: [
      { title: () => words.customer, order: "USERNAME", cell: (one) => one.username },
      { title: () => words.spent, order: "SPENT_MONEY", numeric: true, cell: (one) => money(one.spentMoney) },
      { title: () => words.dealCount, order: "DEAL_COUNT", numeric: true, cell: (one) => number(one.dealCount) },
      { title: () => words.gemCount, numeric: true, cell: (one) => number(one.gemCount) },
      { title: () => words.lastDeal, order: "LAST_DEAL", cell: (one) => moment(one.lastDeal) },
    ],
    filters: {
      fields: () => [{ name: "username", type: "search", label: words.contains(words.customer) }],
      from: ({ username }) => (username ? { username: contains(username) } : null),
    },
  }),
  new EndlessTable({
    id: "gems",
    root: "gems",
    query: GEMS,
    orderBy: "TOTAL_DESC",
    columns: [
      { title: () => words.gem, order: "NAME", cell: (one) => one.name },
      { title: () => words.total, order: "TOTAL", numeric: true, cell: (one) => money(one.total) },
      { title: () => words.dealCount, order: "DEAL_COUNT", numeric: true, cell: (one) => number(one.dealCount) },
      { title: () => words.buyerCount, order: "BUYER_COUNT", numeric: true, cell: (one) => number(one.buyerCount) },
      { title: () => words.lastDeal, cell: (one) => moment(one.lastDeal) },
    ],
    filters: {
      fields: () => [{ name: "name", type: "search", label: words.contains(words.gem) }],
      from: ({ name }) => (name ? { name: contains(name) } : null),
    },
  }),
  new EndlessTable({
    id: "deals",
    root: "deals",
    query: DEALS,
    orderBy: "DATE_DESC",
    columns: [
      { title: () => words.date, order: "DATE", cell: (one) => moment(one.date) },
      { title: () => words.customer, cell: (one) => one.customer.username },
      { title: () => words.gem, cell: (one) => one.gem.name },
      { title: () => words.quantity, order: "QUANTITY", numeric: true, cell: (one) => number(one.quantity) },
      { title: () => words.total, order: "TOTAL", numeric: true, cell: (one) => money(one.total) },
    ],
    filters: {
      fields: () => [
        { name: "customer", type: "search", label: words.contains(words.customer) },
        { name: "gem", type: "search", label: words.contains(words.gem) },
        { name: "since", type: "date", label: words.from },
        { name: "until", type: "date", label: words.until },
      ],
      from: ({ customer, gem, since, until }) => {
        const date = { gte: since ? `${since}T00:00:00Z` : null, lte: until ? `${until}T23:59:59.999999Z` : null };
        return { customer: contains(customer), gem: contains(gem), date: since || until ? date : null };
      },
    },
  }),
];

// What is on it

/** Each part by itself: what one is refused keeps no other from being seen, and what comes too late is not shown. */
async function draw(id, make) {
  const asked = shown;
  try {
    const made = [await make()].flat();
    if (asked === shown) show(id, ...made);
  } catch (error) {
    if (asked !== shown) return;
    show(id, element("p", { class: "bad" }, error.code === "no_answer" ? words.noAnswer : error.message));
    if (error.code === "token_required") byId("token").hidden = false;
  }
}

const drawFiles = () => draw("uploads", () => historyOf(refresh));

async function topClients() {
  const clients = (await ask(TOP_CLIENTS)).topClients;
  return element(
    "ol",
    { class: "clients" },
    ...clients.map(({ username, spentMoney, gems }) =>
      element(
        "li",
        {},
        element("span", { class: "name" }, username),
        element("span", { class: "money" }, money(spentMoney)),
        element(
          "ul",
          { "aria-label": words.sharedGems },
          ...gems.map((gem) => element("li", { class: "gem" }, gem)),
          gems.length ? null : element("li", { class: "none" }, words.noShared),
        ),
      ),
    ),
  );
}

const moneyByMonth = async () =>
  columnsOf((await ask(MONEY_BY_MONTH)).dealStats.reverse().map((one) => ({ ...one, label: month(one.month) })));

const moneyByGem = async () =>
  rowsOf((await ask(MONEY_BY_GEM)).dealStats.map((one) => ({ ...one, label: one.gem.name })));

const fact = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, number(value)));

function facts(current) {
  show("current", words.current(current.fileName || "—", moment(current.arrivedAt)));
  show(
    "facts",
    fact(words.deals, current.dealCount),
    fact(words.customers, current.customerCount),
    fact(words.gems, current.gemCount),
  );
}

// When it is drawn

let shown; // the id of the upload that is on the page

async function drawAll(current) {
  shown = current?.id ?? null;
  byId("data").hidden = !current;
  byId("empty").hidden = Boolean(current);
  await drawFiles();
  if (!current) return;
  facts(current);
  show("comparison");
  await Promise.all([
    draw("clients", topClients),
    draw("months", moneyByMonth),
    draw("money-by-gem", moneyByGem),
    ...TABLES.map((table) => draw(`${table.id}-table`, () => table.draw())),
  ]);
}

/** Looks whether there is something new, and draws it. */
async function refresh() {
  try {
    const current = (await ask(CURRENT)).currentUpload;
    byId("trouble").hidden = true;
    if (shown === undefined || (current?.id ?? null) !== shown) await drawAll(current);
  } catch (error) {
    byId("trouble").hidden = false;
    show("trouble", error.code === "no_answer" ? words.noAnswer : error.message);
    if (error.code === "token_required") byId("token").hidden = false;
  }
}

async function watch() {
  if (!document.hidden) await refresh();
  setTimeout(watch, EVERY_MS);
}

// What its controls do

function name(everything) {
  for (const one of everything.querySelectorAll("[data-word]")) one.textContent = words[one.dataset.word];
}

function speakAnew() {
  document.documentElement.lang = language;
  document.title = words.title;
  name(document);
}

async function take(file) {
  if (!file) return;
  const outcome = await upload(file);
  if (outcome === "token") byId("token").hidden = false;
  await refresh();
  if (outcome === "refused") await drawFiles(); // which it is on record in
}

function prepareDrop() {
  const zone = byId("drop");
  const field = byId("file");
  field.addEventListener("change", async () => {
    await take(field.files[0]);
    field.value = ""; // so that the same file, mended, can be chosen again
  });
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
}

function prepareChoices() {
  const languages = byId("language");
  languages.append(...Object.entries(LANGUAGES).map(([code, title]) => element("option", { value: code }, title)));
  languages.value = language;
  languages.addEventListener("change", async () => {
    speak(languages.value);
    speakAnew();
    show("result");
    shown = undefined;
    await refresh();
  });
  const theme = byId("theme");
  theme.value = localStorage.getItem("theme") ?? "auto";
  const wear = () => document.documentElement.setAttribute("data-theme", theme.value);
  theme.addEventListener("change", () => {
    localStorage.setItem("theme", theme.value);
    wear();
  });
  wear();
  byId("token").addEventListener("submit", async (event) => {
    event.preventDefault();
    token.set(byId("secret").value);
    byId("token").hidden = true;
    shown = undefined;
    await refresh();
  });
}

speakAnew();
prepareChoices();
prepareDrop();
watch();
