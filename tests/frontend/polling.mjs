// node polling.mjs SERVICE: poll with recipes/polling.mjs while uploads land.
import { uploadIds } from "./recipes/polling.mjs";
import { check, service, upload } from "./scenario.mjs";

const { fetch } = globalThis;
const statuses = [];
globalThis.fetch = async (url, options) => {
  const response = await fetch(url, options);
  if (String(url).includes("graphql")) statuses.push(response.status);
  return response;
};

await upload(1, 2);
const ids = uploadIds(service, 20);
const first = (await ids.next()).value;
const second = ids.next();
while (statuses.length < 4) await new Promise((resolve) => setTimeout(resolve, 20));
check("without an upload, the response is 304", statuses.slice(1, 4), [304, 304, 304]);
await upload(2, 2);
check("after an upload, the id is another", [(await second).value !== first, statuses.at(-1)], [true, 200]);
await upload(3, 2);
check("the next upload is found too", new Set([first, (await second).value, (await ids.next()).value]).size, 3);
