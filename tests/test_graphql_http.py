"""GraphQL over HTTP: methods, media types, bodies and statuses. No request causes a 5xx response.

The audits of the npm package ``graphql-http`` require most of this behaviour; the rest follows from HTTP or protects
a public service. ``tests.wsgi`` checks every response for failures.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from dataclasses import fields
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from deals_api.limits import Limits
from tests import node
from tests.builders import deal, load
from tests.servers import Server
from tests.wsgi import JSON, RESPONSE, Response, call, post

pytestmark = pytest.mark.django_db

TYPENAME = "{ __typename }"
BODY: dict[str, Any] = {"query": TYPENAME}
WITH_VARIABLE = "query ($a: Int!) { topClients(limit: $a) { username } }"
MUTATION = 'mutation { activateUpload(id: "VXBsb2FkOg==") { __typename } }'
QUERY_A_AND_MUTATION_B = f"query A {TYPENAME} {MUTATION.replace('{', 'B {', 1)}"
APOLLO = "application/graphql-response+json,application/json;q=0.9"
URQL = f"{RESPONSE}, application/graphql+json, {JSON}, text/event-stream, multipart/mixed"
DRAFT = "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8;q=0.9"


@pytest.fixture
def some_deals(db: None) -> None:
    load(deal("ann", "ruby", "30"), deal("bob", "opal", "20"))


def get(query: str = TYPENAME, accept: str = "", **parameters: str) -> Response:
    url = urlencode({"query": query, **parameters})
    return call(query=url, headers={"Accept": accept} if accept else {})


def check_error(response: Response, status: int, code: str) -> str:
    """Check an error response and return the message of its first error."""
    assert response.status == status
    assert response.headers["Content-Type"] in (JSON, RESPONSE)
    assert response.headers["Vary"] == "Accept"
    assert response.headers["Cache-Control"] == "no-store"
    assert "data" not in response.json
    error, *_ = response.json["errors"]
    assert error["extensions"]["code"] == code
    assert error["message"]
    return str(error["message"])


# The audits


def test_all_audits_of_graphql_over_http_pass(server: Server, real_file: bytes) -> None:
    server.upload(real_file)
    assert node.run("node", "audit.mjs", f"{server.url}/graphql") == "61 of 61 audits pass\n"


# Media types


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        (" ", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html;q=0.1, */*", JSON),
        (JSON, JSON),
        ("Application/JSON", JSON),
        (RESPONSE, RESPONSE),
        (APOLLO, RESPONSE),
        (URQL, RESPONSE),
        (DRAFT, RESPONSE),
        (f"{RESPONSE};q=0.5, {JSON}", JSON),
        (f"{RESPONSE};q=0.5, */*;q=0.8", JSON),
        (f"{JSON}, {RESPONSE}", RESPONSE),
        (f"{RESPONSE}, */*", RESPONSE),
        (f"{JSON};q=0, */*", RESPONSE),
        (f"{RESPONSE};q=0, application/*", JSON),
        (f"{JSON};q=nan, {RESPONSE};q=0.001", RESPONSE),
        (f"{JSON};q=1e9, {RESPONSE}", RESPONSE),
        (f'{JSON};profile="a,b"', JSON),
        (f";;,=,{JSON};;q=1.000;x", JSON),
    ],
)
def test_response_has_the_preferred_media_type(accept: str, media_type: str) -> None:
    response = call(query="query=%7B__typename%7D", headers={"Accept": accept})
    assert (response.status, response.headers["Content-Type"]) == (200, media_type)
    assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    "accept",
    ["text/html", f"{JSON};q=0", f"{JSON};q=0.0, {RESPONSE};q=0", "*/*;q=0", "nonsense", "\xff", f"{JSON};q=-1", "*"],
)
def test_unacceptable_media_type_is_406(accept: str) -> None:
    check_error(post(BODY, accept), 406, "graphql_unreadable")


@pytest.mark.parametrize("accept", [JSON, RESPONSE])
def test_response_is_cached_once_per_media_type(accept: str) -> None:
    first, second = get(accept=accept), get(accept=accept)
    assert first.headers["Content-Type"] == second.headers["Content-Type"] == accept
    assert first.headers["ETag"] == second.headers["ETag"]
    other = get(accept=JSON if accept == RESPONSE else RESPONSE)
    assert first.headers["ETag"] != other.headers["ETag"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{"}, "graphql_unreadable"),
        ({"query": "{ nothing }"}, "graphql_invalid"),
        ({"query": WITH_VARIABLE}, "graphql_invalid"),
        ({"query": WITH_VARIABLE, "variables": {"a": "x"}}, "graphql_invalid"),
        ({"query": "query A { __typename }", "operationName": "B"}, "graphql_invalid"),
        ({"query": "query A { __typename } query B { __typename }"}, "graphql_invalid"),
        ({"query": "fragment F on Query { __typename }"}, "graphql_invalid"),
        ({"query": "{a" * 300 + "}" * 300}, "limit_exceeded"),
    ],
)
def test_invalid_document_is_400_or_200_in_plain_json(body: dict[str, Any], code: str) -> None:
    check_error(post(body, RESPONSE), 400, code)
    check_error(post(body, JSON), 200, code)


def test_error_of_one_field_keeps_the_data_of_the_others() -> None:
    response = post({"query": '{ __typename node(id: "x") { id } }'}, RESPONSE)
    assert response.status == 200
    assert response.json["data"] == {"__typename": "Query", "node": None}
    assert response.json["errors"][0]["extensions"]["code"] == "bad_input"


def test_syntax_error_about_tokens_is_not_a_limit() -> None:
    check_error(post({"query": "{ a } tokens"}, RESPONSE), 400, "graphql_unreadable")


# Methods


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
def test_unsupported_method_is_405_with_the_allowed_methods(method: str) -> None:
    response = call(method, query=urlencode(BODY), body=json.dumps(BODY).encode(), headers={"Content-Type": JSON})
    check_error(response, 405, "graphql_unreadable")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_options_returns_the_allowed_methods() -> None:
    response = call("OPTIONS")
    assert (response.status, response.body, response.headers["Allow"]) == (204, b"", "GET, HEAD, OPTIONS, POST")


def test_head_is_get_without_a_body() -> None:
    get_response = get()
    head = call("HEAD", query=urlencode({"query": TYPENAME}))
    assert (head.status, head.body) == (200, b"")
    unique = {"X-Request-ID", "Server-Timing"}
    assert head.headers.keys() == get_response.headers.keys() > unique
    shared = get_response.headers.keys() - unique
    assert all(head.headers[name] == get_response.headers[name] for name in shared)
    assert int(head.headers["Content-Length"]) == len(get_response.body) > 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", [JSON, RESPONSE])
@pytest.mark.parametrize("parameters", [{"query": MUTATION}, {"query": QUERY_A_AND_MUTATION_B, "operationName": "B"}])
def test_mutation_requires_post(method: str, accept: str, parameters: dict[str, str]) -> None:
    response = call(method, query=urlencode(parameters), headers={"Accept": accept})
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    if method == "GET":
        check_error(response, 405, "graphql_invalid")


@pytest.mark.parametrize("send", [get, lambda query: post({"query": query})])
def test_subscriptions_are_rejected(send: Any) -> None:
    assert "Subscriptions" in check_error(send("subscription { a }"), 400, "graphql_invalid")


# GET


def test_get_accepts_variables_and_operation_name(some_deals: None) -> None:
    document = "query A { __typename } query B($n: Int!) { topClients(limit: $n) { username } }"
    response = get(document, operationName="B", variables='{"n": 1}', extensions="{}")
    assert response.json["data"] == {"topClients": [{"username": "ann"}]}
    assert get(variables="", operationName="", extensions="").status == 200


@pytest.mark.parametrize("text", ["{", "1", "[]", '"x"', "true", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 3000, "\0"])
@pytest.mark.parametrize("name", ["variables", "extensions"])
def test_parameter_that_is_not_a_json_object_is_rejected(name: str, text: str) -> None:
    check_error(get(**{name: text}), 400, "graphql_unreadable")


@pytest.mark.parametrize("name", ["query", "operationName", "variables", "extensions"])
def test_repeated_parameter_is_rejected(name: str) -> None:
    url = urlencode([("query", TYPENAME), (name, TYPENAME), (name, TYPENAME)])
    assert name in check_error(call(query=url), 400, "graphql_unreadable")


@pytest.mark.parametrize("url", ["", "query", "query=", "query=%20", "QUERY=%7Ba%7D", "q=1", "&&==&", "%00"])
def test_url_without_a_query_is_rejected(url: str) -> None:
    check_error(call(query=url), 400, "graphql_unreadable")


@pytest.mark.parametrize(
    "url", ["%zz%", "%00", "%ED%A0%80", "%FF%FE", "\xff", "%7B__typename%7D%00", "%25", "{+a", "%EF%BB%BF}"]
)
def test_invalid_characters_in_a_url_are_a_syntax_error(url: str) -> None:
    response = call(query=f"query={url}", headers={"Accept": RESPONSE})
    check_error(response, 400, "graphql_unreadable")


def test_url_with_too_many_parameters_is_rejected() -> None:
    check_error(call(query="query=%7B__typename%7D" + "&a=b" * 200), 400, "limit_exceeded")


def test_url_is_decoded_as_utf8_for_any_content_type() -> None:
    url = "query=" + quote('{ gem(name: "Сапфир") { id } }')
    plain = call(query=url)
    for charset in ("rot13", "utf-16", "idna", "undefined", "no-such", "*=no-such'en'%41"):
        assert call(query=url, headers={"Content-Type": f"{JSON}; charset={charset}"}).body == plain.body
        assert call(query=url, headers={"Content-Type": f"{JSON}; charset{charset}"}).body == plain.body


# Bodies

UNREADABLE: dict[str, bytes] = {
    "empty": b"",
    "blank": b" ",
    "not JSON": b"{",
    "a string": b'"x"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "a list": b"[]",
    "a batch": b'[{"query":"{__typename}"},{"query":"{__typename}"}]',
    "an empty object": b"{}",
    "query null": b'{"query": null}',
    "query a number": b'{"query": 1}',
    "query a list": b'{"query": ["{__typename}"]}',
    "query empty": b'{"query": ""}',
    "query blank": b'{"query": " \\n\\t"}',
    "a key in another case": b'{"Query": "{__typename}"}',
    "operation name a list": b'{"query": "{__typename}", "operationName": ["A"]}',
    "operation name a number": b'{"query": "{__typename}", "operationName": 0}',
    "operation name false": b'{"query": "{__typename}", "operationName": false}',
    "variables a list": b'{"query": "{__typename}", "variables": []}',
    "variables a string": b'{"query": "{__typename}", "variables": "{}"}',
    "variables an empty string": b'{"query": "{__typename}", "variables": ""}',
    "variables zero": b'{"query": "{__typename}", "variables": 0}',
    "variables false": b'{"query": "{__typename}", "variables": false}',
    "extensions a list": b'{"query": "{__typename}", "extensions": []}',
    "extensions a string": b'{"query": "{__typename}", "extensions": "x"}',
    "an invalid UTF-8 byte": b'{"query": "{__typename}\xff"}',
    "only invalid UTF-8 bytes": b"\xff\xfe\xfd",
    "truncated UTF-8": '{"query": "{__typename}я'.encode()[:-1],
    "UTF-16": '{"query": "{__typename}"}'.encode("utf-16"),
    "UTF-16 without a byte-order mark": '{"query": "{__typename}"}'.encode("utf-16-le"),
    "UTF-32": '{"query": "{__typename}"}'.encode("utf-32"),
    "a byte-order mark": '\ufeff{"query": "{__typename}"}'.encode(),
    "a surrogate encoded in UTF-8": b'{"query": "{__typename}\xed\xa0\x80"}',
    "an unpaired surrogate in the query": b'{"query": "{__typename}\\ud800"}',
    "an unpaired surrogate in a variable": b'{"query": "{__typename}", "variables": {"a": "\\udfff"}}',
    "an unpaired surrogate in a variable's name": b'{"query": "{__typename}", "variables": {"\\ud800": 1}}',
    "an unpaired surrogate in the operation name": b'{"query": "{__typename}", "operationName": "\\ud800"}',
    "an unpaired surrogate in extensions": b'{"query": "{__typename}", "extensions": {"a": ["\\ud800"]}}',
    "NaN": b'{"query": "{__typename}", "variables": {"a": NaN}}',
    "Infinity": b'{"query": "{__typename}", "variables": {"a": Infinity}}',
    "-Infinity": b'{"query": "{__typename}", "variables": {"a": -Infinity}}',
    "a number of 5,000 digits": b'{"query": "{__typename}", "variables": {"a": %s}}' % (b"9" * 5000),
    "nested lists": b"[" * 60_000,
    "nested objects": b'{"a":' * 12_000,
    "two values": b'{"query": "{__typename}"}{}',
    "NUL": b'{"query": "{__typename}"}\0',
    "a comment": b'{"query": "{__typename}"} // no',
    "single quotes": b"{'query': '{__typename}'}",
    "a form": b"query=%7B__typename%7D",
    "a gzip file": gzip.compress(b'{"query": "{__typename}"}'),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("accept", [JSON, RESPONSE])
def test_body_without_a_query_is_400(body: bytes, accept: str) -> None:
    check_error(post(body, accept), 400, "graphql_unreadable")


@pytest.mark.parametrize("levels", [51, 500, 964, 965, 966, 970])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deeply_nested_values_are_400(levels: int, opening: str, closing: str) -> None:
    deep = f"{opening * levels}1{closing * levels}"
    for name in ("variables", "extensions"):
        response = post(f'{{"query": "{TYPENAME}", "{name}": {{"a": {deep}}}}}'.encode())
        # Near a thousand levels Python itself raises RecursionError, which is reported as unreadable.
        code = response.json["errors"][0]["extensions"]["code"]
        assert code == "limit_exceeded" or (code == "graphql_unreadable" and levels > 900)
        check_error(response, 400, code)


FIELD_BY_TYPE: dict[str, str] = {
    "Int": "deals(first: $v) { totalCount }",
    "BigInt": "deals(filter: {quantity: {eq: $v}}) { totalCount }",
    "Money": "deals(filter: {total: {eq: $v}}) { totalCount }",
    "ID": "topClients(upload: $v) { username }",
    "String": "deals(after: $v) { nodes { id } }",
    "DateTime": "deals(filter: {date: {gte: $v}}) { totalCount }",
    "DealFilter": "deals(filter: $v) { totalCount }",
    "[DealStatsKey!]": "dealStats(by: $v) { nodes { total } }",
}
VALUES = [
    "9" * 4300, "-" + "9" * 300, "1e308", "1e999", "9223372036854775808", "2147483648", "0.5", "-0", "true", "null",
    '""', '"\\u0000"', '"\U0010ffff"', '"NaN"', "[]", "{}", "[[1]]", '{"a": 1}',
]  # fmt: skip


@pytest.mark.parametrize("type_name", FIELD_BY_TYPE)
def test_variables_of_any_type_get_a_response(some_deals: None, type_name: str) -> None:
    query = f"query ($v: {type_name}) {{ {FIELD_BY_TYPE[type_name]} }}"
    for value in VALUES:
        response = post(f'{{"query": "{query}", "variables": {{"v": {value}}}}}'.encode(), RESPONSE)
        assert response.status in (200, 400)
        for error in response.json.get("errors", ()):
            assert error["extensions"]["code"] in ("graphql_invalid", "bad_input", "limit_exceeded", "cursor_outdated")


def test_body_over_the_limit_is_413(limits: Any) -> None:
    assert "65536" in check_error(post(b"[" * 100_000), 413, "limit_exceeded")
    check_error(post(b" " * 1_000_000), 413, "limit_exceeded")
    limits(max_query_bytes=len(json.dumps(BODY)))
    assert post(BODY).status == 200
    limits(max_query_bytes=len(json.dumps(BODY)) - 1)
    check_error(post(BODY), 413, "limit_exceeded")


def test_highest_body_limit_is_accepted_by_django(limits: Any) -> None:
    limit = next(field for field in fields(Limits) if field.name == "max_query_bytes")
    maximum = limit.metadata["accepted"]["maximum"]
    limits(max_query_bytes=maximum)
    check_error(post(b" " * maximum), 400, "graphql_unreadable")


@pytest.mark.parametrize(
    ("length", "status", "code"),
    [
        ("abc", 400, "graphql_unreadable"),
        ("-5", 400, "graphql_unreadable"),
        ("+5", 400, "graphql_unreadable"),
        ("5, 5", 400, "graphql_unreadable"),
        ("1e3", 400, "graphql_unreadable"),
        ("٣", 400, "graphql_unreadable"),
        ("0", 400, "graphql_unreadable"),
        ("5", 400, "graphql_unreadable"),
        ("1000", 400, "graphql_unreadable"),
        ("9" * 19, 413, "limit_exceeded"),
        ("9" * 5000, 413, "limit_exceeded"),
    ],
)
def test_invalid_content_length_is_rejected(length: str, status: int, code: str) -> None:
    check_error(post(BODY, Content_Length=length), status, code)


def test_chunked_body_is_411() -> None:
    for coding in ("chunked", "Chunked", "gzip, chunked"):
        check_error(post(BODY, Transfer_Encoding=coding), 411, "graphql_unreadable")


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        f"{JSON}; charset=utf-8",
        f"{JSON};charset=UTF-8",
        f'{JSON}; charset="utf8"',
        f"{JSON}; a=b; charset=utf-8; c=d",
        "Application/Json",
        f" {JSON} ",
        f"{JSON};",
        f"{JSON}; charset=",
        f"{JSON}; charset*=",
        f'{JSON}; a="charset=latin-1"',
    ],
)
def test_json_in_utf8_is_accepted(content_type: str) -> None:
    assert call("POST", body=b'{"query":"{__typename}"}', headers={"Content-Type": content_type}).status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/plain,application/json",
        "text/plain; application/json",
        "application/json, text/plain",
        "application/graphql",
        RESPONSE,
        "application/jsonx",
        "application",
        "/",
        ";",
        "\xff",
        "application/json\0",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        f"{JSON}; charset=utf-16",
        f"{JSON}; charset=latin-1",
        f"{JSON}; charset=rot13",
        f"{JSON}; charset=no-such",
        f"{JSON}; charset*=no-such'en'%41",
        f'{JSON};charset="utf-8',
    ],
)
def test_unsupported_content_type_is_415(content_type: str) -> None:
    response = call("POST", body=b'{"query":"{__typename}"}', headers={"Content-Type": content_type})
    check_error(response, 415, "graphql_unreadable")


def test_multipart_request_refers_to_the_upload_url() -> None:
    """Clients of the GraphQL multipart request specification send files in this way."""
    body = b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{"query": "{__typename}"}\r\n--b--\r\n'
    response = call("POST", body=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    message = check_error(response, 415, "graphql_unreadable")
    assert message == "The body must be application/json in UTF-8; upload files with POST /api/upload/."


@pytest.mark.parametrize("coding", ["gzip", "br", "identity", "x"])
def test_compressed_body_is_415(coding: str) -> None:
    check_error(post(gzip.compress(json.dumps(BODY).encode()), Content_Encoding=coding), 415, "graphql_unreadable")


def test_post_ignores_the_query_of_the_url() -> None:
    response = call("POST", query="query=%7B__typename%7D", body=b"{}", headers={"Content-Type": JSON})
    check_error(response, 400, "graphql_unreadable")


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
def test_url_works_with_and_without_a_trailing_slash(path: str) -> None:
    assert call("POST", path, body=b'{"query":"{__typename}"}', headers={"Content-Type": JSON}).status == 200


# Raw sockets


def send_raw(server: Server, request: bytes) -> bytes:
    """Send a request, shut down the sending side of the connection, and return all bytes that the server sends."""
    with socket.create_connection(("127.0.0.1", server.port), 30) as client:
        client.sendall(request)
        with contextlib.suppress(OSError):  # The server may already have closed the connection.
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def status_of(response: bytes) -> int:
    return int(response.split()[1])


#: The end of a POST request, after the common headers, and the expected status.
RAW_REQUESTS: dict[str, tuple[bytes, int]] = {
    "a body that ends early": (b'Content-Length: 100\r\n\r\n{"query":"{__typename}"}', 400),
    "a length that is not a number": (b"Content-Length: abc\r\n\r\n{}", 400),
    "a negative length": (b"Content-Length: -1\r\n\r\n{}", 400),
    "two Content-Length headers": (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "a huge length": (b"Content-Length: 99999999999999999999\r\n\r\n{}", 413),
    "no Content-Length header": (b"\r\n", 400),
    "a chunked body": (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411),
    "a chunked body and a length": (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a body of a megabyte": (b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000, 413),
    "non-ASCII bytes in a header": (b"Accept: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}", 406),
    "NUL in a header": (b"X-A: \0\r\nContent-Length: 2\r\n\r\n{}", 400),
}
UNKNOWN_CHARSET = b"Content-Type: application/json; charset*=no-such'en'%41\r\n"


@pytest.mark.database_independent
def test_malformed_raw_requests_are_rejected_and_not_logged(server: Server) -> None:
    host = b"Host: deals.example\r\nConnection: close\r\n"
    head = b"POST /graphql HTTP/1.1\r\nContent-Type: application/json\r\n" + host
    statuses = {name: status_of(send_raw(server, head + request)) for name, (request, _) in RAW_REQUESTS.items()}
    assert statuses == {name: status for name, (_, status) in RAW_REQUESTS.items()}
    assert status_of(send_raw(server, b"GET /graphql HTTP/1.1\r\nHost: a b\xff\r\nConnection: close\r\n\r\n")) == 400
    unknown_charset = b"GET /api/top-clients/?limit=1 HTTP/1.1\r\n" + UNKNOWN_CHARSET + host + b"\r\n"
    assert status_of(send_raw(server, unknown_charset)) == 200
    assert send_raw(server, b"HEAD /graphql?query={__typename} HTTP/1.1\r\n" + host + b"\r\n").endswith(b"\r\n\r\n")
    assert server.get("/graphql", params={"query": TYPENAME}).json()["data"] == {"__typename": "Query"}
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "body bytes on a no-body response" not in log
