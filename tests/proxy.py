"""nginx as a process, with the configuration of docker-compose.yml; only addresses and folders differ."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers import NO_TLS, ROOT, TIMEOUT
from tests.services import free_port, nginx_binary, wait_for_port

SERVER_FOLDER = ROOT / "project" / "server"
#: The default user of nginx cannot read the folder of a test.
USER = "user root;" if os.geteuid() == 0 else ""


@dataclass(frozen=True)
class Proxy:
    """A running nginx. ``log`` is the file of its log, and ``static`` the folder of published static files."""

    port: int
    log: Path
    static: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str = "/api/top-clients/", **kwargs: object) -> httpx.Response:
        return httpx.get(self.url + path, timeout=TIMEOUT, verify=NO_TLS, **kwargs)  # type: ignore[arg-type]

    def upload(self, content: bytes, name: str = "deals.csv") -> httpx.Response:
        return httpx.post(self.url + "/api/upload/", files={"deals": (name, content)}, timeout=TIMEOUT, verify=NO_TLS)


@contextlib.contextmanager
def nginx(
    folder: Path, web: str, *, resolver: str = "127.0.0.1", replace: dict[str, str] | None = None, **environment: str
) -> Iterator[Proxy]:
    """Run nginx in front of ``web`` (``host:port``). ``replace`` changes other parts of the configuration."""
    folder = folder / "nginx"
    static, source, binaries = folder / "static", folder / "source", folder / "bin"
    for path in (static, source, binaries):
        path.mkdir(parents=True)
    (binaries / "nginx").symlink_to(nginx_binary())
    port, log = free_port(), folder / "log"
    log.touch()
    replacements = {
        "web:8000": web,
        "127.0.0.11 valid": f"{resolver} valid",
        "listen 8080": f"listen 127.0.0.1:{port}",
        "/tmp/": f"{folder}/",  # noqa: S108
        "/dev/stderr": str(log),
        "/dev/stdout": str(log),
        "root /static;": f"root {static};",
        # The package lacks this module; the container tests use it.
        "gzip_static on;": "",
        **(replace or {}),
    }
    configuration = substitute((SERVER_FOLDER / "nginx.conf").read_text(), replacements)
    configuration = f"{USER}\n{configuration}"
    script = substitute((SERVER_FOLDER / "nginx.sh").read_text(), {"/tmp/": f"{folder}/"})  # noqa: S108
    (source / "nginx.conf").write_text(configuration)
    (source / "nginx.sh").write_text(script)
    path_variable = f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["sh", source / "nginx.sh"],
            env=os.environ | environment | {"PATH": path_variable},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for_port(port, process)
        yield Proxy(port, log, static)
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def substitute(text: str, replacements: dict[str, str]) -> str:
    """Replace each key by its value; fail if a key does not occur."""
    for old, new in replacements.items():
        assert re.search(re.escape(old), text), f"{old} is not in the file"
        text = text.replace(old, new)
    return text
