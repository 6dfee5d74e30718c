// The GraphQL client: `query` for reads, `mutate` for changes. Both throw a DealsError.

const ENDPOINT = new URL("graphql/", document.baseURI);

/** An error of the service: `code` is stable and meant for programs, `message` is a sentence for people. */
export class DealsError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The API token, stored until the browser tab is closed; empty if the service has not asked for one. */
export const token = {
  get: () => sessionStorage.getItem("token") ?? "",
  set: (value) => sessionStorage.setItem("token", value),
  headers: () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {}),
};

/**
 * Execute a query and return its data. It is sent by GET, so the browser caches the response with its ETag and
 * revalidates it: an unchanged response is a 304 without a body.
 */
export async function query(operation, variables = {}) {
  const url = new URL(ENDPOINT);
  url.searchParams.set("query", operation);
  if (Object.keys(variables).length) url.searchParams.set("variables", JSON.stringify(variables));
  return readData(fetch(url, { headers: { Accept: "application/json", ...token.headers() } }));
}

/** Execute a mutation by POST and return its data. */
export async function mutate(operation, variables = {}) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", ...token.headers() };
  const body = JSON.stringify({ query: operation, variables });
  return readData(fetch(ENDPOINT, { method: "POST", headers, body }));
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
