// graphql-request: variables, GET, errors with codes, data beside an error, unions.
import { ClientError, GraphQLClient, gql } from "graphql-request";
import { check, endpoint, errorOf } from "../scenario.mjs";

const client = new GraphQLClient(endpoint);
const TOP = gql`query Top($limit: Int, $order: GemOrder) { topClients(limit: $limit) { username } gems(orderBy: $order) { totalCount } }`;
const top = await client.request(TOP, { limit: 2, order: null });
check("variables, null for an argument with a default", top, {
  topClients: [{ username: "resplendent" }, { username: "bellwether" }],
  gems: { totalCount: 25 },
});
const reader = new GraphQLClient(endpoint, { method: "GET" });
check("GET", await reader.request(TOP, { limit: 2 }), top);

const error = await errorOf(client.request(gql`{ deals(first: 1000) { totalCount } }`));
check("an error has a code", [error instanceof ClientError, error.response.errors[0].extensions.code], [true, "limit_exceeded"]);
const invalid = await errorOf(client.request(gql`{ nothing }`));
check("an invalid document has a code", invalid.response.errors[0].extensions.code, "graphql_invalid");

const tolerant = new GraphQLClient(endpoint, { errorPolicy: "all" });
const partial = await tolerant.rawRequest(gql`{ gems { totalCount } deals(after: "x") { totalCount } }`);
check("a rejected field keeps the others", partial.data, { gems: { totalCount: 25 }, deals: null });

const ACTIVATE = gql`
  mutation Activate($id: ID!) {
    activateUpload(id: $id) { __typename ... on UploadActivated { upload { isCurrent } } ... on Problem { code } }
  }
`;
const { currentUpload } = await client.request(gql`{ currentUpload { id } }`);
const activated = await client.request(ACTIVATE, currentUpload);
check("a mutation", activated.activateUpload, { __typename: "UploadActivated", upload: { isCurrent: true } });
const rejected = await client.request(ACTIVATE, { id: btoa(`Upload:${"0".repeat(32)}`) });
check("a union", rejected.activateUpload, { __typename: "UploadNotRetained", code: "upload_not_retained" });
