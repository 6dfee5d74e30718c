// The GraphQL client. `query` and `mutate` throw a DealsError.

import { storageKey } from "./dom.js";

const ENDPOINT = new URL("graphql/", document.baseURI);

/** Without a response after this time, a request has failed. */
export const TIMEOUT_MS = 60_000;

/** An error of the service: a stable `code` for programs, and a `message` for people. */
export class DealsError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The API token, stored until the browser tab is closed; empty before the user enters one. */
export const token = {
  get: () => sessionStorage.getItem(storageKey("token")) ?? "",
  set: (value) => sessionStorage.setItem(storageKey("token"), value),
  headers: () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {}),
};

/**
 * Execute a query by GET and return its data. The browser caches the response and revalidates it by its ETag: the
 * response is 304, without a body, if the data has not changed.
 */
export async function query(operation, variables = {}) {
  const url = new URL(ENDPOINT);
  url.searchParams.set("query", operation);
  if (Object.keys(variables).length) url.searchParams.set("variables", JSON.stringify(variables));
  const headers = { Accept: "application/json", ...token.headers() };
  return readData(fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) }));
}

/** Execute a mutation by POST and return its data. */
export async function mutate(operation, variables = {}) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", ...token.headers() };
  const body = JSON.stringify({ query: operation, variables });
  return readData(fetch(ENDPOINT, { method: "POST", headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) }));
}

async function readData(pendingResponse) {
  let result;
  try {
    result = await (await pendingResponse).json();
  } catch {
    throw new DealsError("no_response", "The service does not respond.");
  }
  const [error] = result.errors ?? [];
  if (error) throw new DealsError(error.extensions?.code ?? "internal_error", error.message);
  return result.data;
}
