"""``python -m tests.fuzz``: run schemathesis against both APIs of a new service.

Arguments are passed to schemathesis. ``DATABASE_URL`` and ``REDIS_URL``, if set, name the servers to use.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers import REAL_FILE, serving

HERE = Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    servers = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)}
    # Accepted asynchronous uploads stay in the queue, because no worker runs.
    asynchronous = {"MAX_QUEUED_UPLOADS": "1000000"}
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as uploads,
        serving(Path(folder), UPLOADS_DIR=uploads, **asynchronous, **servers) as server,
    ):
        server.upload(REAL_FILE.read_bytes())
        rest = run(folder, "rest.toml", f"{server.url}/api/schema/", "--url", server.url, *arguments)
        graphql = run(folder, "graphql.toml", f"{server.url}/graphql/", *arguments)
        log = server.log.read_text()
    if "Traceback" in log:
        print(log)  # noqa: T201
        return 1
    return rest or graphql


def run(folder: str, config: str, *arguments: str) -> int:
    st = str(Path(sys.executable).with_name("st"))
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")}
    command = [st, "--config-file", str(HERE / config), "run", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, timeout=500, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
