// urql: GET by default, the document cache, errors, data beside errors, mutations, persisted queries.
import { Client, cacheExchange, fetchExchange, gql } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { check, endpoint } from "../scenario.mjs";

const methods = [];
const countingFetch = (url, options) => {
  methods.push(options.method);
  return fetch(url, options);
};
const client = new Client({ url: endpoint, exchanges: [cacheExchange, fetchExchange], fetch: countingFetch });

const TOP = gql`query Top($limit: Int) { topClients(limit: $limit) { username } }`;
for (let attempt = 0; attempt < 2; attempt++) {
  const { data } = await client.query(TOP, { limit: 1 });
  check("a query", data.topClients[0].username, "resplendent");
}
check("the second query comes from the cache, the first by GET", methods, ["GET"]);
check("null for an argument with a default", (await client.query(TOP, { limit: null })).data.topClients.length, 5);

const mixed = await client.query(gql`query Mixed { gems { totalCount } deals(after: "x") { totalCount } }`, {});
check("an error has a code", mixed.error.graphQLErrors.map(({ extensions }) => extensions.code), ["bad_input"]);
check("a rejected field keeps the others", [mixed.data.gems.totalCount, mixed.data.deals], [25, null]);

const ACTIVATE = gql`
  mutation Activate($id: ID!) {
    activateUpload(id: $id) { __typename ... on UploadActivated { query { currentUpload { id } } } ... on Problem { code } }
  }
`;
const { data: current } = await client.query(gql`query Current { currentUpload { id } }`, {});
const { id } = current.currentUpload;
const activated = await client.mutation(ACTIVATE, { id });
check("query after a mutation", activated.data.activateUpload.query.currentUpload.id, id);
const rejected = await client.mutation(ACTIVATE, { id: btoa(`Upload:${"0".repeat(32)}`) });
check("a union", rejected.data.activateUpload, { __typename: "UploadNotRetained", code: "upload_not_retained" });

// Automatic persisted queries, with a document that is new to the service.
const requests = [];
const recordingFetch = (url, options) => {
  const isDocument = new URL(url).searchParams.has("query") || options.body?.includes('"query"');
  requests.push(`${options.method} ${isDocument ? "document" : "digest"}`);
  return fetch(url, options);
};
const persisted = new Client({
  url: endpoint,
  exchanges: [persistedExchange({ preferGetForPersistedQueries: true }), fetchExchange],
  fetch: recordingFetch,
});
const UNIQUE = gql(`query Unique { a${Date.now()}: gems { totalCount } }`);
for (let attempt = 0; attempt < 2; attempt++) {
  const { data } = await persisted.query(UNIQUE, {});
  check("a persisted query", Object.values(data).map((gems) => gems.totalCount), [25]);
}
check("the document is sent once", requests, ["GET digest", "GET document", "GET digest"]);
