// All deals of one upload with Apollo Client.
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";

export function connect(service) {
  return new ApolloClient({
    link: new HttpLink({ uri: `${service}/graphql/` }),
    cache: new InMemoryCache({
      typePolicies: { Query: { fields: { deals: relayStylePagination(["upload", "filter", "orderBy"]) } } },
    }),
  });
}

const CURRENT_UPLOAD = gql`query CurrentUpload { currentUpload { id } }`;
const DEALS = gql`
  query Deals($upload: ID, $after: String) {
    deals(upload: $upload, first: 100, after: $after) {
      edges { node { id total customer { username } } }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

export async function allDeals(client) {
  for (;;) {
    const { data } = await client.query({ query: CURRENT_UPLOAD, fetchPolicy: "network-only" });
    const variables = { upload: data.currentUpload?.id };
    const list = client.watchQuery({ query: DEALS, variables });
    const subscription = list.subscribe({ error() {} });
    try {
      let page = (await list.refetch()).data.deals;
      while (page.pageInfo.hasNextPage) {
        page = (await list.fetchMore({ variables: { after: page.pageInfo.endCursor } })).data.deals;
      }
      return client.readQuery({ query: DEALS, variables }).deals.edges.map(({ node }) => node);
    } catch (error) {
      if (!isOutdated(error)) throw error; // otherwise start again with the current upload
    } finally {
      subscription.unsubscribe();
    }
  }
}

function isOutdated(error) {
  const [first] = CombinedGraphQLErrors.is(error) ? error.errors : [];
  return ["upload_not_retained", "cursor_outdated"].includes(first?.extensions.code);
}
