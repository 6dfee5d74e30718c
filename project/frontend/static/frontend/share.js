// Ways out of the page: the query of a card in GraphiQL and as a command, and the clipboard.

import { element } from "./dom.js";
import { token } from "./graphql_client.js";
import { messages } from "./i18n.js";

/** Return the variables without null, and without the shown upload if it is the current one, which is the default. */
export const sharedVariables = (variables, upload) =>
  Object.fromEntries(
    Object.entries(variables).filter(([, value]) => value != null && !(value === upload.id && upload.isCurrent)),
  );

/** Return the address of GraphiQL with a query and its variables. */
export function graphiqlUrl(operation, variables) {
  const parts = [`query=${encodeURIComponent(operation)}`];
  if (Object.keys(variables).length) parts.push(`variables=${encodeURIComponent(JSON.stringify(variables, null, 2))}`);
  return new URL(`graphql/#${parts.join("&")}`, document.baseURI).href;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Return the command for POSIX shells that sends a query. */
export function curlCommand(operation, variables) {
  const lines = [`curl --get ${quoted(new URL("graphql/", document.baseURI).href)}`];
  if (token.get()) lines.push("--header 'Authorization: Bearer <token>'");
  lines.push(`--data-urlencode ${quoted(`query=${operation}`)}`);
  if (Object.keys(variables).length) lines.push(`--data-urlencode ${quoted(`variables=${JSON.stringify(variables)}`)}`);
  return lines.join(" \\\n  ");
}

/** Return the links to a query of the page for programmers. */
export function queryLinks(operation, variables, upload) {
  const shared = sharedVariables(variables, upload);
  const command = curlCommand(operation, shared);
  return [
    element("a", { href: graphiqlUrl(operation, shared) }, messages.asGraphql),
    element(
      "details",
      { class: "curl" },
      element("summary", {}, messages.asCurl),
      element("pre", {}, command),
      copyButton(messages.copy, () => ({ text: command })),
    ),
  ];
}

/**
 * Copy a text, and its HTML for word processors. The event is used, because `navigator.clipboard` does not exist in
 * pages without TLS.
 */
export function copy({ text, html }) {
  const write = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    event.clipboardData.setData("text/plain", text);
    if (html) event.clipboardData.setData("text/html", html);
  };
  document.addEventListener("copy", write, { capture: true });
  const copied = document.execCommand("copy");
  document.removeEventListener("copy", write, { capture: true });
  return copied;
}

const CONFIRMATION_MS = 4000;

/** Show a text for a few seconds. */
export function showBriefly(status, text) {
  status.textContent = text;
  setTimeout(() => status.textContent === text && (status.textContent = ""), CONFIRMATION_MS);
}

/** Return the handler of a button that copies what `content()` returns, and confirms it in the next element. */
export const copying = (content) => ({ currentTarget }) => {
  if (copy(content())) showBriefly(currentTarget.nextElementSibling, messages.copied);
};

/** Return a button, and the next element for the messages of its handler. */
export const statusButton = (label, onclick, className = null) =>
  element(
    "span",
    { class: "copy" },
    element("button", { type: "button", class: className, onclick }, label),
    element("span", { role: "status" }),
  );

export const copyButton = (label, content, className) => statusButton(label, copying(content), className);
