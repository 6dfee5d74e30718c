// Read by relay-compiler only: the programs import the compiled documents of __generated__.
graphql`query CurrentUploadQuery { currentUpload { id } }`;

graphql`
  query AllDealsQuery($upload: ID) {
    ...AllDeals_query @arguments(upload: $upload)
  }
`;

graphql`
  fragment AllDeals_query on Query
  @refetchable(queryName: "AllDealsPageQuery")
  @argumentDefinitions(upload: { type: "ID" }, count: { type: "Int", defaultValue: 100 }, cursor: { type: "String" }) {
    deals(upload: $upload, first: $count, after: $cursor) @connection(key: "AllDeals_deals") {
      edges { node { id total customer { username } } }
    }
  }
`;

graphql`
  fragment LastDeals_query on Query
  @refetchable(queryName: "LastDealsPageQuery")
  @argumentDefinitions(upload: { type: "ID" }, count: { type: "Int", defaultValue: 100 }, cursor: { type: "String" }) {
    deals(upload: $upload, last: $count, before: $cursor) @connection(key: "LastDeals_deals") {
      edges { node { id } }
    }
  }
`;

graphql`
  fragment CustomerDeals_customer on Customer
  @refetchable(queryName: "CustomerDealsPageQuery")
  @argumentDefinitions(
    orderBy: { type: "DealOrder" }
    count: { type: "Int", defaultValue: 20 }
    cursor: { type: "String" }
  ) {
    deals(orderBy: $orderBy, first: $count, after: $cursor) @connection(key: "CustomerDeals_deals") {
      edges { node { id date } }
    }
  }
`;

graphql`
  query CustomerQuery($username: String!) {
    customer(username: $username) { id username ...CustomerDeals_customer }
  }
`;

graphql`
  query NodeQuery($id: ID!, $ids: [ID!]!) {
    node(id: $id) { __typename ... on Customer { username } }
    nodes(ids: $ids) { id }
  }
`;

graphql`
  query CatchQuery {
    topClients { username }
    deals(after: "x") @catch { totalCount }
  }
`;

graphql`
  mutation ActivateUploadMutation($id: ID!) {
    activateUpload(id: $id) {
      __typename
      ... on UploadActivated { upload { id isCurrent } query { currentUpload { id } topClients(limit: 1) { username } } }
      ... on Problem { code }
    }
  }
`;
