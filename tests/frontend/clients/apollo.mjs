// Apollo Client: fetchMore, GET, errors, data beside errors, interfaces, unions, `query` after a mutation, persisted queries.
import { createHash } from "node:crypto";
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { relayStylePagination } from "@apollo/client/utilities";
import { check, endpoint, errorOf, upload as uploadFile } from "../scenario.mjs";

const methods = [];
const countingFetch = (url, options) => {
  methods.push(options.method);
  return fetch(url, options);
};
const client = new ApolloClient({
  link: new HttpLink({ uri: endpoint, useGETForQueries: true, fetch: countingFetch }),
  cache: new InMemoryCache({
    possibleTypes: {
      Node: ["Customer", "Gem", "Purchase", "Deal", "Upload"],
      Problem: ["UploadNotRetained"],
      ActivateUploadResult: ["UploadActivated", "UploadNotRetained"],
    },
    typePolicies: { Query: { fields: { deals: relayStylePagination(["upload", "filter", "orderBy"]) } } },
  }),
});

const DEALS = gql`
  query Deals($after: String, $orderBy: DealOrder) {
    deals(first: 100, after: $after, orderBy: $orderBy) {
      totalCount
      edges { node { id quantity } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;
const variables = { orderBy: null };
const list = client.watchQuery({ query: DEALS, variables });
const subscription = list.subscribe({});
let page = (await list.refetch()).data.deals;
while (page.pageInfo.hasNextPage) {
  page = (await list.fetchMore({ variables: { after: page.pageInfo.endCursor } })).data.deals;
}
subscription.unsubscribe();
const { deals } = client.readQuery({ query: DEALS, variables });
const ids = deals.edges.map(({ node }) => node.id);
check("fetchMore reads each deal once", [deals.totalCount, ids.length, new Set(ids).size], [767, 767, 767]);
check("queries are sent by GET", new Set(methods), new Set(["GET"]));

const MIXED = gql`query Mixed { topClients(limit: 1) { username } deals(after: "x") { totalCount } }`;
const strict = await errorOf(client.query({ query: MIXED }));
check("an error has a code", [CombinedGraphQLErrors.is(strict), strict.errors[0].extensions.code], [true, "bad_input"]);
for (const errorPolicy of ["all", "ignore"]) {
  const { data } = await client.query({ query: MIXED, errorPolicy, fetchPolicy: "no-cache" });
  const found = [data.topClients[0].username, data.deals];
  check(`errorPolicy ${errorPolicy} keeps the other fields`, found, ["resplendent", null]);
}
const invalid = await errorOf(client.query({ query: gql`query Invalid { nothing }` }));
check("status 400 is read as GraphQL errors", CombinedGraphQLErrors.is(invalid) && invalid.errors[0].extensions.code, "graphql_invalid");

const NODES = gql`query Nodes($ids: [ID!]!) { nodes(ids: $ids) { id ... on Deal { quantity } ... on Purchase { quantity } } }`;
const { data: nodes } = await client.query({ query: NODES, variables: { ids: [ids[1], ids[0]] } });
check("nodes in their order, from two types with one field", nodes.nodes.map(({ id }) => id), [ids[1], ids[0]]);

const ACTIVATE = gql`
  mutation Activate($id: ID!) {
    activateUpload(id: $id) {
      ... on UploadActivated { upload { id isCurrent } query { currentUpload { id } } }
      ... on Problem { code }
    }
  }
`;
const { data: current } = await client.query({ query: gql`query Current { currentUpload { id fileName } }` });
const { id } = current.currentUpload;
const { data: activated } = await client.mutate({ mutation: ACTIVATE, variables: { id } });
const { upload, query } = activated.activateUpload;
check("query after a mutation", [upload.isCurrent, query.currentUpload.id, methods.at(-1)], [true, id, "POST"]);
const { data: rejected } = await client.mutate({ mutation: ACTIVATE, variables: { id: btoa(`Upload:${"0".repeat(32)}`) } });
check("a union", rejected.activateUpload, { __typename: "UploadNotRetained", code: "upload_not_retained" });

// Lists of two uploads in one cache.
const PINNED = gql`query Pinned($upload: ID) { deals(upload: $upload, first: 5) { edges { node { id total } } } }`;
const CURRENT = gql`query CurrentUpload { currentUpload { id } }`;
const firstTotals = async (variables) => (await client.query({ query: PINNED, variables })).data.deals.edges.map(({ node }) => node.total);
const before = await firstTotals({ upload: id });
await uploadFile(7, 2);
const { data: next } = await client.query({ query: CURRENT, fetchPolicy: "network-only" });
check("the list of another upload", await firstTotals({ upload: next.currentUpload.id }), ["7", "7"]);
check("the list of the first upload is kept", await firstTotals({ upload: id }), before);

// Automatic persisted queries; the comment makes the document new to the service.
const requests = [];
const recordingFetch = (url, options) => {
  const { searchParams } = new URL(url);
  requests.push(`${options.method} ${searchParams.has("query") || options.body?.includes('"query"') ? "document" : "digest"}`);
  return fetch(url, options);
};
const persisted = new ApolloClient({
  link: new PersistedQueryLink({
    sha256: (text) => createHash("sha256").update(text).digest("hex"),
    useGETForHashedQueries: true,
  }).concat(new HttpLink({ uri: endpoint, fetch: recordingFetch })),
  cache: new InMemoryCache(),
});
const UNIQUE = gql(`query Unique { a${Date.now()}: gems { totalCount } }`);
for (let attempt = 0; attempt < 2; attempt++) {
  const { data } = await persisted.query({ query: UNIQUE, fetchPolicy: "no-cache" });
  check("a persisted query", Object.values(data).map(({ totalCount }) => totalCount), [1]);
}
check("the document is sent once", requests, ["GET digest", "POST document", "GET digest"]);
