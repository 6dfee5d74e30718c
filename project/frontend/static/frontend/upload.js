// A file on its way: sent, read by the service, and accepted or refused with the places to mend.

import { element, show } from "./dom.js";
import { token } from "./graphql_client.js";
import { number, words } from "./i18n.js";

/** Of the wrong places, so many are told at most unless the operator has changed it. */
const LISTED = 100;

/** Sends the file; `progress` is told the share that has gone, from 0 to 1. Resolves to {status, body, retryAfter}. */
function send(file, progress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much it has sent
    request.open("POST", new URL("api/upload/", document.baseURI));
    for (const [name, value] of Object.entries(token.headers())) request.setRequestHeader(name, value);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 1);
    request.upload.onload = () => progress(1);
    request.onloadend = () =>
      resolve({ status: request.status, body: request.response, retryAfter: request.getResponseHeader("Retry-After") });
    const body = new FormData();
    body.append("deals", file);
    request.send(body);
  });
}

/** The whole story of one file, told in #result. Resolves to what became of it: "accepted", "refused" or "token". */
export async function upload(file) {
  const bar = element("progress", { max: "1", value: "0", "aria-label": file.name });
  const told = element("p", {}, words.sending(0));
  show("result", told, bar);
  const { status, body, retryAfter } = await send(file, (share) => {
    bar.value = share;
    told.textContent = share < 1 ? words.sending(Math.floor(100 * share)) : words.processing;
    if (share === 1) bar.removeAttribute("value"); // how long that takes nobody knows
  });
  if (status === 200) {
    show("result", element("p", { class: "good" }, words.accepted(file.name)));
    return "accepted";
  }
  if (status === 401) {
    show("result");
    return "token";
  }
  show("result", ...refusal(file, status, body, retryAfter));
  return "refused";
}

function refusal(file, status, body, retryAfter) {
  if (!status || !body) return [element("p", { class: "bad" }, words.noAnswer)];
  const told = [element("p", { class: "bad" }, status === 429 ? words.tooOften(retryAfter) : words.refused(file.name))];
  told.push(element("p", {}, body.Desc));
  if (body.Errors) told.push(...places(body.Errors));
  return told;
}

function places(problems) {
  const heads = [words.line, words.column, words.value, words.reason];
  const rows = problems.map(({ line, column, value, reason }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", class: "numeric" }, number(line)),
      element("td", {}, column ?? words.wholeLine),
      element("td", {}, element("code", {}, value)),
      element("td", {}, reason),
    ),
  );
  const table = element(
    "table",
    { id: "problems" },
    element("caption", {}, words.problems),
    element("thead", {}, element("tr", {}, ...heads.map((head, place) => element("th", { scope: "col", class: place ? null : "numeric" }, head)))),
    element("tbody", {}, ...rows),
  );
  const box = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words.problems }, table);
  return problems.length >= LISTED ? [element("p", {}, words.onlyFirst(problems.length)), box] : [box];
}
