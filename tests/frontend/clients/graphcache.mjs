// urql's normalised cache with the schema, which interfaces and unions need: pagination in both directions, mutations,
// and no more keys than documented.
import { Client, fetchExchange, gql } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { getIntrospectionQuery } from "graphql";
import { check, endpoint } from "../scenario.mjs";

const warnings = [];
console.warn = (...text) => warnings.push(text.join(" "));
console.error = console.warn;
const introspection = await fetch(endpoint, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ query: getIntrospectionQuery() }),
});
const { data: schema } = await introspection.json();
const connect = () =>
  new Client({
    url: endpoint,
    exchanges: [
      cacheExchange({
        schema,
        keys: {
          TopClient: () => null,
          DealStats: () => null,
          DealStatsPage: () => null,
          UploadComparison: () => null,
          ChangeCounts: () => null,
          CustomerChange: () => null,
          GemChange: () => null,
        },
        resolvers: { Query: { deals: relayPagination() } },
      }),
      fetchExchange,
    ],
  });

const { data: current } = await connect().query(gql`query Current { currentUpload { id } }`, {});
const upload = current.currentUpload.id;
for (const [size, side, ahead, cursor] of [
  ["first", "after", "hasNextPage", "endCursor"],
  ["last", "before", "hasPreviousPage", "startCursor"],
]) {
  const client = connect();
  const DEALS = gql`
    query Deals($upload: ID, $cursor: String) {
      deals(upload: $upload, ${size}: 100, ${side}: $cursor) { nodes { id } pageInfo { ${ahead} ${cursor} } }
    }
  `;
  let page;
  do {
    const variables = { upload, cursor: page?.pageInfo[cursor] };
    page = (await client.query(DEALS, variables)).data.deals;
  } while (page.pageInfo[ahead]);
  check(`${size}/${side} reads each deal once`, [page.nodes.length, new Set(page.nodes.map(({ id }) => id)).size], [767, 767]);
}

const EVERYTHING = gql`
  query Everything {
    topClients { username gems customer { id username } }
    dealStats(by: [GEM, YEAR], limit: 3) { nodes { total year gem { id name } } }
    uploads(first: 1) { edges { cursor node { id state } } pageInfo { hasNextPage } }
    customers(first: 2) { totalCount nodes { id deals(first: 1) { edges { node { id } } } } }
  }
`;
const client = connect();
const { data, error } = await client.query(EVERYTHING, {});
check("every kind of object is read", [error, data.topClients.length, data.dealStats.nodes.length, data.customers.totalCount], [undefined, 5, 3, 18]);
const repeated = await client.query(EVERYTHING, {}, { requestPolicy: "cache-only" });
check("the cache contains the whole answer", repeated.data, data);

const ACTIVATE = gql`mutation Activate($id: ID!) { activateUpload(id: $id) { ... on UploadActivated { upload { id isCurrent } } ... on Problem { code } } }`;
const activated = await client.mutation(ACTIVATE, { id: upload });
const rejected = await client.mutation(ACTIVATE, { id: btoa(`Upload:${"0".repeat(32)}`) });
check("a union", rejected.data.activateUpload.code, "upload_not_retained");
check("a mutation", activated.data.activateUpload.upload.isCurrent, true);
check("no type needs another key", warnings, []);
