// node recipes.mjs SERVICE RECIPE: walk all pages with recipes/RECIPE.mjs while uploads land between and during requests.
import { check, service, upload } from "./scenario.mjs";

const recipe = await import(`./recipes/${process.argv[3]}.mjs`);
const rowsOf = (number) => 301 + (number % 7);
let number = 0;
const uploadNext = () => upload(++number, rowsOf(number));

const { fetch } = globalThis;
let requests = 0;
let beforeRequest = async () => {};
globalThis.fetch = async (url, options) => {
  if (new URL(url).pathname.startsWith("/graphql")) await beforeRequest(++requests);
  return fetch(url, options);
};

/** Return the number of the file to which all rows belong, or a description of the mixture. */
function fileOf(deals) {
  const [name, ...others] = new Set(deals.map(({ customer }) => customer.username));
  const found = Number(name?.slice(1));
  const isWhole =
    others.length === 0 &&
    new Set(deals.map(({ id }) => id)).size === rowsOf(found) &&
    deals.length === rowsOf(found) &&
    deals.every(({ total }) => total === String(found));
  return isWhole ? found : `${deals.length} rows of ${[name, ...others]}`;
}

async function walk(client, hook = async () => {}) {
  requests = 0;
  beforeRequest = hook;
  const deals = await recipe.allDeals(client);
  beforeRequest = async () => {};
  return fileOf(deals);
}

await uploadNext();
const client = recipe.connect(service);
check("a walk without uploads is whole", [await walk(client), requests], [number, 5]);

for (let position = 1; position <= 5; position++) {
  const before = number;
  const file = await walk(client, async (request) => request === position && uploadNext());
  check(`an upload before request ${position} leaves the walk whole`, file, position === 1 ? before + 1 : before);
  check("the next walk reads the new upload", await walk(client), number);
}

/** Upload files until the service retains no older one. */
async function replaceAll() {
  const oldest = number;
  for (let count = 0; count < 4; count++) await uploadNext();
  const query = "{ uploads(first: 100) { nodes { fileName state } } }";
  for (let isRetained = true; isRetained; ) {
    const response = await fetch(`${service}/graphql/?query=${encodeURIComponent(query)}`);
    const { nodes } = (await response.json()).data.uploads;
    isRetained = nodes.some(({ fileName, state }) => fileName === `v${oldest}.csv` && state === "LOADED");
  }
}

await uploadNext(); // no cache has pages of it
const file = await walk(client, async (request) => request === 3 && replaceAll());
check("a walk whose upload is pruned starts again and ends whole", [file, requests], [number, 3 + 5]);

let isUploading = true;
const uploads = (async () => {
  for (let count = 0; count < 25; count++) await uploadNext();
  isUploading = false;
})();
const files = [];
while (isUploading) files.push(await walk(client));
await uploads;
const mixed = files.filter((found) => !Number.isInteger(found));
check(`${files.length} walks during 25 uploads are whole`, mixed, []);
