"""openapi-python-client: a package generated from the served description, run against the service.

python python_client.py SERVICE
"""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SERVICE = sys.argv[1]
FOLDER = Path(__file__).parent
REAL_FILE = FOLDER.parents[1] / "data" / "deals.csv"
#: Media types as in the documentation of REST; ``post_hooks`` would format the code.
BINARY = "application/octet-stream"
CONFIG = {"content_type_overrides": {"application/x-ndjson": BINARY, "text/csv": BINARY}, "post_hooks": []}


def check(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise SystemExit(f"{what}: {actual!r} instead of {expected!r}")
    print(f"ok: {what}")


def generated(folder: Path) -> None:
    """Generate the package ``deals_client`` and make it importable."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    program = str(Path(sys.executable).with_name("openapi-python-client"))
    command = [program, "generate", "--url", f"{SERVICE}/api/schema/?format=json", "--meta", "none"]
    options = ["--config", "config.json", "--output-path", "deals_client", "--fail-on-warning"]
    subprocess.run([*command, *options], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    sys.path.insert(0, str(folder))


def run() -> None:
    package: Any = importlib.import_module("deals_client")
    models: Any = importlib.import_module("deals_client.models")
    types: Any = importlib.import_module("deals_client.types")
    upload, top_clients, deals = (
        importlib.import_module(f"deals_client.api.{name}")
        for name in ("deals.upload_create", "deals.top_clients_retrieve", "exports.deals_ndjson")
    )
    client = package.Client(base_url=SERVICE)

    def send(content: bytes) -> Any:
        file = types.File(io.BytesIO(content), "deals.csv", "text/csv")
        return upload.sync(client=client, body=models.UploadFormRequest(deals=file))

    check("upload", send(REAL_FILE.read_bytes()).status, "OK")
    first = top_clients.sync(client=client, limit=5).response[0]
    check("typed response", (first.username, first.spent_money, len(first.gems)), ("resplendent", 451731, 3))
    lines = deals.sync(client=client, filter_='{"customer": {"eq": "resplendent"}}').payload.read().splitlines()
    check("selected deals as binary NDJSON", sum(json.loads(line)["total"] for line in lines), 451731)
    header = b"customer,item,total,quantity,date\n"
    row = "ann,ruby,{},1,2020-01-02 03:04:05\n"
    send(header + b"".join(row.format(total).encode() for total in ("0.1", "0.2")))
    check("money is exact", [item.spent_money for item in top_clients.sync(client=client).response], [0.3])
    error = send(header + row.format("12x").encode())
    (cell,) = error.errors
    check("error of a rejected file", (error.code, cell.line, cell.column), ("bad_cells", 2, "total"))
    missing = deals.sync(client=client, upload="00000000-0000-0000-0000-000000000000")
    check("error of an export", missing.code, "upload_not_retained")


with tempfile.TemporaryDirectory() as temporary:
    generated(Path(temporary))
    run()
