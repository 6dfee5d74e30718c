"""Static files: compressed without the image, and copied for nginx."""

from __future__ import annotations

import gzip
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings
from whitenoise.middleware import WhiteNoiseMiddleware

from project.middleware.static_files import StaticFilesMiddleware
from project.server.static_files import publish
from tests.servers import NO_TLS, ROOT, TIMEOUT, Server

pytestmark = pytest.mark.database_independent

BUILD = "0123456789abcdef"

SCRIPT = "frontend/main.js"
CONTENT = (ROOT / "project" / "frontend" / "static" / SCRIPT).read_bytes()


def get_file(name: str = SCRIPT, method: str = "get", **headers: str) -> Any:
    """Request a static file; ``_`` in the name of a header stands for ``-``."""
    url = f"/static/{django_settings.DEALS_BUILD}/{name}"
    return getattr(Client(), method)(url, headers={key.replace("_", "-"): headers[key] for key in headers})


def body_of(response: Any) -> bytes:
    """Return the content of a streaming response; reading it to the end closes the file."""
    return b"".join(response)


@pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate, br, zstd", "br;q=1.0, GZIP;q=0.8", "gzip;q=0.5"])
def test_text_file_is_compressed(accepted: str) -> None:
    response = get_file(Accept_Encoding=accepted)
    body = body_of(response)
    assert gzip.decompress(body) == CONTENT
    assert response["Content-Encoding"] == "gzip"
    assert response["Content-Length"] == str(len(body))
    assert response["Vary"] == "Accept-Encoding"
    assert response["ETag"].startswith('W/"')
    assert "immutable" in response["Cache-Control"]


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0, br"])
def test_client_that_does_not_accept_gzip_gets_the_file(accepted: str) -> None:
    response = get_file(Accept_Encoding=accepted)
    assert body_of(response) == CONTENT
    assert response["Content-Length"] == str(len(CONTENT))
    assert not response.has_header("Content-Encoding")
    assert response["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("name", "is_compressed"),
    [
        ("deals_api/theme.css", True),
        ("deals_api/gem.svg", True),
        ("drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js", True),
        ("drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png", False),
    ],
)
def test_only_text_files_are_compressed(name: str, is_compressed: bool) -> None:
    plain, response = get_file(name), get_file(name, Accept_Encoding="gzip")
    content, body = body_of(plain), body_of(response)
    assert response.has_header("Content-Encoding") == is_compressed
    assert (gzip.decompress(body) if is_compressed else body) == content
    assert response["ETag"].startswith('W/"' if is_compressed else '"')


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_head_has_the_headers_of_get(accepted: str) -> None:
    get = get_file(Accept_Encoding=accepted)
    head = get_file(method="head", Accept_Encoding=accepted)
    body_of(get)
    assert body_of(head) == b""
    names = ("Content-Type", "Content-Length", "Content-Encoding", "ETag", "Vary", "Last-Modified", "Cache-Control")
    assert [head.get(name) for name in names] == [get.get(name) for name in names]


def test_range_is_a_part_of_the_uncompressed_file() -> None:
    response = get_file(Accept_Encoding="gzip", Range="bytes=10-19")
    assert response.status_code == 206
    assert body_of(response) == CONTENT[10:20]
    assert response["Content-Range"] == f"bytes 10-19/{len(CONTENT)}"
    assert not response.has_header("Content-Encoding")
    beyond = get_file(Accept_Encoding="gzip", Range=f"bytes={len(CONTENT)}-")
    assert (beyond.status_code, beyond["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_unchanged_file_is_not_sent_again(accepted: str) -> None:
    first = get_file(Accept_Encoding=accepted)
    body_of(first)
    for condition in ({"If_None_Match": first["ETag"]}, {"If_Modified_Since": first["Last-Modified"]}):
        response = get_file(Accept_Encoding=accepted, **condition)
        assert (response.status_code, body_of(response)) == (304, b"")
        assert (response["ETag"], response["Vary"]) == (first["ETag"], "Accept-Encoding")
        assert not response.has_header("Content-Encoding")
    changed = get_file(Accept_Encoding=accepted, If_None_Match='W/"1-1"')
    assert changed.status_code == 200
    body_of(changed)


def test_method_that_does_not_read_is_rejected() -> None:
    assert get_file(method="post", Accept_Encoding="gzip").status_code == 405


def collected_responses() -> dict[tuple[str, str], tuple[list[tuple[str, str]], bytes]]:
    """Return headers, except those of the request, and body by URL and accepted encoding."""
    client, responses = Client(), {}
    for url in WhiteNoiseMiddleware().files:
        for accepted in ("gzip", "identity"):
            response: Any = client.get(url, headers={"Accept-Encoding": accepted})
            headers = [pair for pair in response.items() if pair[0] not in ("X-Request-ID", "Server-Timing")]
            responses[url, accepted] = headers, body_of(response)
    return responses


def test_collected_files_are_served_as_by_whitenoise(settings: Settings, tmp_path: Path) -> None:
    """The image contains compressed files, except where compression does not make them smaller."""
    settings.STATIC_ROOT = tmp_path
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = False
    call_command("collectstatic", interactive=False, verbosity=0)
    responses = collected_responses()
    assert (f"{django_settings.STATIC_URL}{SCRIPT}", "gzip") in responses
    ours, original = (
        f"{each.__module__}.{each.__qualname__}" for each in (StaticFilesMiddleware, WhiteNoiseMiddleware)
    )
    assert ours in settings.MIDDLEWARE
    settings.MIDDLEWARE = [original if name == ours else name for name in settings.MIDDLEWARE]
    assert collected_responses() == responses


def test_service_sends_compressed_files_and_continues_the_connection(shared_server: Server) -> None:
    page = shared_server.get("/")
    assert page.headers["Content-Encoding"] == "gzip"
    urls = re.findall(r'(?:src|href)="(/static/[^"]+\.(?:css|js))"', page.text)
    assert len(urls) > 30
    with httpx.Client(base_url=shared_server.url, timeout=TIMEOUT, verify=NO_TLS) as client:
        for url in urls:
            head, get = client.head(url), client.get(url)
            assert head.headers["Content-Length"] == get.headers["Content-Length"]
            assert get.headers["Content-Encoding"] == "gzip"
            name = url.removeprefix("/static/").partition("/")[2]
            assert get.content == Path(finders.find(name) or "").read_bytes()


def test_page_is_compressed() -> None:
    plain, compressed = Client().get("/"), Client().get("/", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(compressed.content) == plain.content
    assert "Accept-Encoding" in compressed["Vary"]


# Copies for nginx


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    folder = tmp_path / "collected"
    (folder / "frontend").mkdir(parents=True)
    (folder / "frontend" / "main.js").write_text("// code")
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    return folder


def builds(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_of_the_last_two_builds_are_retained(collected: Path, published: Path) -> None:
    a, b, c, d = ("0123456789abcde" + digit for digit in "abcd")
    for number, build in enumerate((a, b, c), start=1):
        publish(collected, published, build)
        os.utime(published / build, (number, number))
    assert builds(published) == [b, c]
    assert (published / c / "frontend" / "main.js").read_text() == "// code"
    # A return to the previous build makes it the newest one.
    publish(collected, published, b)
    publish(collected, published, d)
    assert builds(published) == [b, d]


def test_other_folders_and_files_are_retained(collected: Path, published: Path) -> None:
    for name in ("assets", "data", "0123", "backup", "css"):
        (published / name).mkdir()
    (published / "favicon.ico").touch()
    before = builds(published)
    publish(collected, published, BUILD)
    assert builds(published) == sorted([*before, BUILD])


def test_copies_of_killed_processes_do_not_accumulate(collected: Path, published: Path) -> None:
    for number in range(30):
        (published / f".copy-{number}").mkdir()
    publish(collected, published, BUILD)
    assert len(builds(published)) == 21


def test_containers_may_publish_the_same_build_concurrently(collected: Path, published: Path) -> None:
    for number in range(200):
        (collected / f"{number}.js").write_text("// code")
    with ThreadPoolExecutor(8) as pool:
        for publication in [pool.submit(publish, collected, published, BUILD) for _ in range(8)]:
            publication.result()
    assert builds(published) == [BUILD]
    assert len(list((published / BUILD).iterdir())) == 201


def test_failed_copy_leaves_nothing(collected: Path, published: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        publish(collected / "missing", published, BUILD)
    assert builds(published) == []
