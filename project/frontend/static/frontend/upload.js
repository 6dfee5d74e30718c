// Upload a file over REST, show its progress, and show the result or the list of errors.

import { element, show } from "./dom.js";
import { formatNumber } from "./formats.js";
import { token } from "./graphql_client.js";
import { messages } from "./i18n.js";

/** Default of MAX_PROBLEMS: a list of this length may be truncated. */
const MAX_PROBLEMS = 100;

/**
 * Send the file. `onProgress` receives the fraction sent, from 0 to 1.
 * Resolves to {status, body, retryAfter}; without a response, the status is 0 and the body null.
 */
function send(file, onProgress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch reports no upload progress
    request.open("POST", new URL("api/upload/", document.baseURI));
    for (const [name, value] of Object.entries(token.headers())) request.setRequestHeader(name, value);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 1);
    request.upload.onload = () => onProgress(1);
    request.onloadend = () =>
      resolve({ status: request.status, body: request.response, retryAfter: request.getResponseHeader("Retry-After") });
    const form = new FormData();
    form.append("deals", file);
    request.send(form);
  });
}

/** Upload a file and show its outcome in #result. Resolves to "accepted", "rejected" or "token_required". */
export async function upload(file) {
  const bar = element("progress", { max: "1", value: "0", "aria-label": file.name });
  const status = element("p", {}, messages.uploading(0));
  show("result", status, bar);
  const response = await send(file, (fraction) => {
    bar.value = fraction;
    status.textContent = fraction < 1 ? messages.uploading(Math.floor(100 * fraction)) : messages.processing;
    if (fraction === 1) bar.removeAttribute("value"); // the processing time is unknown
  });
  if (response.status === 200) {
    show("result", element("p", { class: "good" }, messages.accepted(file.name)));
    return "accepted";
  }
  if (response.status === 401) {
    show("result");
    return "token_required";
  }
  show("result", ...errorElements(file, response));
  return "rejected";
}

function errorElements(file, { status, body, retryAfter }) {
  if (!status || !body) return [element("p", { class: "bad" }, messages.noResponse)];
  const title = status === 429 ? messages.rateLimited(retryAfter) : messages.rejected(file.name);
  const problems = body.Errors ? problemElements(body.Errors) : [];
  return [element("p", { class: "bad" }, title), element("p", {}, body.Desc), ...problems];
}

function problemElements(problems) {
  const headers = [
    element("th", { scope: "col", class: "numeric" }, messages.line),
    ...[messages.column, messages.value, messages.reason].map((text) => element("th", { scope: "col" }, text)),
  ];
  const rows = problems.map(({ line, column, value, reason }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", class: "numeric" }, formatNumber(line)),
      element("td", {}, column ?? messages.wholeLine),
      element("td", {}, element("code", {}, value)),
      element("td", {}, reason),
    ),
  );
  const table = element(
    "table",
    { id: "problems" },
    element("caption", {}, messages.problems),
    element("thead", {}, element("tr", {}, ...headers)),
    element("tbody", {}, ...rows),
  );
  const box = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": messages.problems }, table);
  return problems.length >= MAX_PROBLEMS ? [element("p", {}, messages.onlyFirst(problems.length)), box] : [box];
}
