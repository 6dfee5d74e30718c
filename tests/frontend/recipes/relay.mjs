// All deals of one upload with Relay, without React; usePaginationFragment loads and reads the list in the same way.
import relay from "relay-runtime";
import AllDealsPageQuery from "../relay/__generated__/AllDealsPageQuery.graphql.js";
import AllDeals_query from "../relay/__generated__/AllDeals_query.graphql.js";
import CurrentUploadQuery from "../relay/__generated__/CurrentUploadQuery.graphql.js";

const { Environment, Network, RecordSource, Store, createOperationDescriptor, fetchQuery, getSelector } = relay;

export function connect(service) {
  async function execute({ text }, variables) {
    const response = await fetch(`${service}/graphql/`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ query: text, variables }),
    });
    const result = await response.json();
    // Without an exception, Relay replaces the pages that it has by null.
    const codes = result.errors?.map(({ extensions }) => extensions.code) ?? [];
    if (codes.includes("upload_not_retained") || codes.includes("cursor_outdated")) throw new Outdated();
    return result;
  }
  return new Environment({ network: Network.create(execute), store: new Store(new RecordSource()) });
}

class Outdated extends Error {}

export async function allDeals(environment) {
  for (;;) {
    const { currentUpload } = await fetchQuery(environment, CurrentUploadQuery, {}).toPromise();
    const list = createOperationDescriptor(AllDealsPageQuery, { upload: currentUpload?.id });
    const retained = environment.retain(list);
    try {
      for (let cursor = null; ; ) {
        await fetchQuery(environment, AllDealsPageQuery, { upload: currentUpload?.id, cursor }).toPromise();
        const { edges, pageInfo } = read(environment, list).deals;
        if (!pageInfo.hasNextPage) return edges.map(({ node }) => node);
        cursor = pageInfo.endCursor;
      }
    } catch (error) {
      if (!(error instanceof Outdated)) throw error; // otherwise start again with the current upload
    } finally {
      retained.dispose();
    }
  }
}

function read(environment, operation) {
  const query = environment.lookup(operation.fragment).data;
  return environment.lookup(getSelector(AllDeals_query, query)).data;
}
