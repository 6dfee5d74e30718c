"""Python's gql over requests and httpx: schema from the service, validation, scalars, errors with codes, mutations.

python python_gql.py SERVICE
"""

from __future__ import annotations

import sys
from typing import Any

from gql import Client, gql
from gql.transport import Transport
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXTransport
from gql.transport.requests import RequestsHTTPTransport
from graphql import GraphQLError

ENDPOINT = f"{sys.argv[1]}/graphql/"
DEALS = """query Deals($after: String, $orderBy: DealOrder) {
    deals(first: 100, after: $after, orderBy: $orderBy) {nodes {id total} pageInfo {hasNextPage endCursor}}
}"""
ACTIVATE = "mutation ($id: ID!) {activateUpload(id: $id) {... on UploadActivated {query {currentUpload {id}}}}}"


def check(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise SystemExit(f"{what}: {actual!r} instead of {expected!r}")
    print(f"ok: {what}")


def error_code(client: Client, document: str) -> str:
    try:
        client.execute(gql(document))
    except TransportQueryError as error:
        details: Any = error.errors
        return str(details[0]["extensions"]["code"])
    raise SystemExit(f"{document} is not rejected")


def run(name: str, transport: Transport) -> None:
    client = Client(transport=transport, fetch_schema_from_transport=True)
    ids: list[str] = []
    after, has_next = None, True
    while has_next:
        page = client.execute(gql(DEALS), variable_values={"after": after, "orderBy": None})["deals"]
        ids += [node["id"] for node in page["nodes"]]
        after, has_next = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    check(f"{name}: all pages", (len(ids), len(set(ids))), (767, 767))
    check(f"{name}: an error has a code", error_code(client, "{deals(first: 1000) {totalCount}}"), "limit_exceeded")
    try:
        client.execute(gql("{deals {price}}"))
    except GraphQLError as error:
        check(
            f"{name}: the fetched schema rejects an unknown field",
            error.message.split(" on ")[0],
            "Cannot query field 'price'",
        )
    else:
        raise SystemExit("an unknown field is valid")
    upload = client.execute(gql("{currentUpload {id}}"))["currentUpload"]
    activated = client.execute(gql(ACTIVATE), variable_values=upload)
    check(f"{name}: query after a mutation", activated["activateUpload"]["query"]["currentUpload"], upload)


run("requests", RequestsHTTPTransport(url=ENDPOINT))
run("httpx", HTTPXTransport(url=ENDPOINT))
