// Documents that gql.tada checks and infers the types of.
import { initGraphQLTada, type ResultOf, type VariablesOf } from "gql.tada";
import type { introspection } from "./graphql-env.js";

const graphql = initGraphQLTada<{
  introspection: introspection;
  scalars: { Money: string; BigInt: number; DateTime: string; Date: string };
}>();

const Deals = graphql(`
  query Deals($orderBy: DealOrder, $after: String) {
    deals(orderBy: $orderBy, after: $after) {
      nodes { total quantity rowNumber gem { name } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

const Activate = graphql(`
  mutation Activate($id: ID!) {
    activateUpload(id: $id) {
      __typename
      ... on UploadActivated { query { currentUpload { fileName } } }
      ... on Problem { code }
    }
  }
`);

export function read(data: ResultOf<typeof Deals>, variables: VariablesOf<typeof Deals>): string | null {
  variables.orderBy = "DATE_DESC";
  const total: string | undefined = data.deals?.nodes[0]?.total;
  // @ts-expect-error a root field can be null
  data.deals.nodes;
  return total ?? null;
}

export function outcome({ activateUpload: result }: ResultOf<typeof Activate>): string {
  if (result === null) return "rejected";
  return result.__typename === "UploadNotRetained" ? result.code : String(result.query.currentUpload?.fileName);
}
