// Relay: compiled documents, @refetchable on Query and on a node, @connection both ways, node, nodes, @catch, mutations.
import relay from "relay-runtime";
import { connect } from "../recipes/relay.mjs";
import { check, service } from "../scenario.mjs";
import AllDealsPageQuery from "../relay/__generated__/AllDealsPageQuery.graphql.js";
import AllDeals_query from "../relay/__generated__/AllDeals_query.graphql.js";
import ActivateUploadMutation from "../relay/__generated__/ActivateUploadMutation.graphql.js";
import CatchQuery from "../relay/__generated__/CatchQuery.graphql.js";
import CurrentUploadQuery from "../relay/__generated__/CurrentUploadQuery.graphql.js";
import CustomerDealsPageQuery from "../relay/__generated__/CustomerDealsPageQuery.graphql.js";
import CustomerDeals_customer from "../relay/__generated__/CustomerDeals_customer.graphql.js";
import CustomerQuery from "../relay/__generated__/CustomerQuery.graphql.js";
import LastDealsPageQuery from "../relay/__generated__/LastDealsPageQuery.graphql.js";
import LastDeals_query from "../relay/__generated__/LastDeals_query.graphql.js";
import NodeQuery from "../relay/__generated__/NodeQuery.graphql.js";

const { commitMutation, createOperationDescriptor, fetchQuery, getSelector } = relay;
const environment = connect(service);
const load = (query, variables) => fetchQuery(environment, query, variables).toPromise();

/** Load all pages of a connection; `select` returns the object with the fragment from the data of the query. */
async function allEdges(query, fragment, variables, select, [ahead, cursorField]) {
  const operation = createOperationDescriptor(query, variables);
  environment.retain(operation);
  for (let cursor = null; ; ) {
    await load(query, { ...variables, cursor });
    const parent = select(environment.lookup(operation.fragment).data);
    const { edges, pageInfo } = environment.lookup(getSelector(fragment, parent)).data.deals;
    if (!pageInfo[ahead]) return edges;
    cursor = pageInfo[cursorField];
  }
}

const FORWARD = ["hasNextPage", "endCursor"];
const BACKWARD = ["hasPreviousPage", "startCursor"];
const query = (data) => data;
const { currentUpload } = await load(CurrentUploadQuery, {});
const first = await allEdges(AllDealsPageQuery, AllDeals_query, { upload: currentUpload.id }, query, FORWARD);
const last = await allEdges(LastDealsPageQuery, LastDeals_query, { upload: currentUpload.id }, query, BACKWARD);
const ids = (edges) => edges.map(({ node }) => node.id);
check("@connection reads each deal once", [first.length, new Set(ids(first)).size], [767, 767]);
check("@connection reads the same list backwards", ids(last), ids(first));

const { customer } = await load(CustomerQuery, { username: "bellwether" });
const page = { id: customer.id, orderBy: null };
const deals = await allEdges(CustomerDealsPageQuery, CustomerDeals_customer, page, ({ node }) => node, FORWARD);
check("@refetchable on a node reads all its deals", deals.length, 83);

const found = await load(NodeQuery, { id: customer.id, ids: [deals[0].node.id, customer.id] });
check("node", found.node, { __typename: "Customer", username: "bellwether" });
check("nodes", ids(found.nodes.map((node) => ({ node }))), [deals[0].node.id, customer.id]);

const caught = await load(CatchQuery, {});
check("@catch keeps the other fields", [caught.topClients.length, caught.deals.ok], [5, false]);

const activated = await new Promise((resolve, reject) =>
  commitMutation(environment, {
    mutation: ActivateUploadMutation,
    variables: { id: currentUpload.id },
    onCompleted: resolve,
    onError: reject,
  }),
);
const result = activated.activateUpload;
check("query after a mutation", [result.upload.isCurrent, result.query.topClients[0].username], [true, "resplendent"]);
