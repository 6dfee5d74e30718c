// All deals of one upload with urql and its document cache.
import { Client, cacheExchange, fetchExchange, gql } from "@urql/core";

export function connect(service) {
  return new Client({ url: `${service}/graphql/`, exchanges: [cacheExchange, fetchExchange] });
}

const CURRENT_UPLOAD = gql`query CurrentUpload { currentUpload { id } }`;
const DEALS = gql`
  query Deals($upload: ID, $after: String) {
    deals(upload: $upload, first: 100, after: $after) {
      nodes { id total customer { username } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

export async function allDeals(client) {
  for (;;) {
    const { data } = await client.query(CURRENT_UPLOAD, {}, { requestPolicy: "network-only" });
    const deals = [];
    for (let after = null; ; ) {
      const { data: page, error } = await client.query(DEALS, { upload: data.currentUpload?.id, after });
      if (isOutdated(error)) break; // start again with the current upload
      if (error) throw error;
      deals.push(...page.deals.nodes);
      if (!page.deals.pageInfo.hasNextPage) return deals;
      after = page.deals.pageInfo.endCursor;
    }
  }
}

function isOutdated(error) {
  return ["upload_not_retained", "cursor_outdated"].includes(error?.graphQLErrors[0]?.extensions.code);
}
