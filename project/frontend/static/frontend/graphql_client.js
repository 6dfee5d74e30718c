// The client: one function for questions, one for changes. Refusals are told by their code.

const ENDPOINT = new URL("graphql/", document.baseURI);

/** What the service refuses: `code` is a stable word for programs, `message` a sentence for people. */
export class DealsError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The token of a service that asks for one, as long as the window is open. */
export const token = {
  get: () => sessionStorage.getItem("token") ?? "",
  set: (value) => sessionStorage.setItem("token", value),
  headers: () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {}),
};

/**
 * The data of a question. It goes by GET, so the browser keeps the answer with its ETag and asks only
 * whether it has changed: 304 costs next to nothing.
 */
export async function ask(query, variables = {}) {
  const url = new URL(ENDPOINT);
  url.searchParams.set("query", query);
  if (Object.keys(variables).length) url.searchParams.set("variables", JSON.stringify(variables));
  return dataOf(fetch(url, { headers: { Accept: "application/json", ...token.headers() } }));
}

/** The data of a change, which goes by POST. */
export async function change(query, variables = {}) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", ...token.headers() };
  return dataOf(fetch(ENDPOINT, { method: "POST", headers, body: JSON.stringify({ query, variables }) }));
}

async function dataOf(sent) {
  let answer;
  try {
    answer = await (await sent).json();
  } catch {
    throw new DealsError("no_answer", "The service does not answer.");
  }
  const [refusal] = answer.errors ?? [];
  if (refusal) throw new DealsError(refusal.extensions?.code ?? "internal_error", refusal.message);
  return answer.data;
}
