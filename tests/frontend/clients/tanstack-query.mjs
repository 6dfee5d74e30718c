// TanStack Query: an infinite query reads all pages; polling by refetch sees an unchanged list as the same object.
import { QueryClient } from "@tanstack/query-core";
import { request, gql } from "graphql-request";
import { check, endpoint, errorOf } from "../scenario.mjs";

const DEALS = gql`
  query Deals($upload: ID, $after: String) {
    deals(upload: $upload, first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } }
  }
`;
const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
const { currentUpload } = await client.fetchQuery({
  queryKey: ["upload"],
  queryFn: () => request(endpoint, gql`{ currentUpload { id } }`),
});
const list = {
  queryKey: ["deals", currentUpload.id],
  queryFn: ({ pageParam }) => request(endpoint, DEALS, { upload: currentUpload.id, after: pageParam }),
  initialPageParam: null,
  getNextPageParam: ({ deals: { pageInfo } }) => (pageInfo.hasNextPage ? pageInfo.endCursor : undefined),
  pages: 100,
};
const { pages } = await client.fetchInfiniteQuery(list);
const ids = pages.flatMap(({ deals }) => deals.nodes.map(({ id }) => id));
check("an infinite query reads each deal once", [pages.length, ids.length, new Set(ids).size], [8, 767, 767]);
check("a repeated query returns equal data", await client.fetchInfiniteQuery(list), { pages, pageParams: [null, ...pages.slice(0, -1).map(({ deals }) => deals.pageInfo.endCursor)] });

const error = await errorOf(
  client.fetchQuery({ queryKey: ["x"], queryFn: () => request(endpoint, DEALS, { after: "x" }) }),
);
check("an error has a code", error.response.errors[0].extensions.code, "bad_input");
