// All deals of one upload with urql and its normalised cache.
import { Client, fetchExchange, gql } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";

export function connect(service) {
  return new Client({
    url: `${service}/graphql/`,
    exchanges: [
      cacheExchange({
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
}

const CURRENT_UPLOAD = gql`query CurrentUpload { currentUpload { id } }`;
const DEALS = gql`
  query Deals($upload: ID, $after: String) {
    deals(upload: $upload, first: 100, after: $after) {
      nodes { id total customer { id username } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

export async function allDeals(client) {
  for (;;) {
    const { data } = await client.query(CURRENT_UPLOAD, {}, { requestPolicy: "network-only" });
    for (let after = null; ; ) {
      const { data: page, error } = await client.query(DEALS, { upload: data.currentUpload?.id, after });
      if (isOutdated(error)) break; // start again with the current upload
      if (error) throw error;
      // The cache returns all pages so far.
      if (!page.deals.pageInfo.hasNextPage) return page.deals.nodes;
      after = page.deals.pageInfo.endCursor;
    }
  }
}

function isOutdated(error) {
  return ["upload_not_retained", "cursor_outdated"].includes(error?.graphQLErrors[0]?.extensions.code);
}
