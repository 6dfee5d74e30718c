"""openapi-generator: a Python package generated from the served description, run against the service.

python generator.py SERVICE
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SERVICE = sys.argv[1]
FOLDER = Path(__file__).parent
REAL_FILE = FOLDER.parents[1] / "data" / "deals.csv"


def check(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise SystemExit(f"{what}: {actual!r} instead of {expected!r}")
    print(f"ok: {what}")


def generated(folder: Path) -> None:
    """Generate the package ``deals_client`` and make it importable."""
    program = str(Path(sys.executable).with_name("openapi-generator-cli"))
    command = [program, "generate", "-g", "python", "-i", f"{SERVICE}/api/schema/?format=json", "-o", str(folder)]
    options = ["--package-name", "deals_client", "--global-property", "apis,models,supportingFiles,apiTests=false"]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    sys.path.insert(0, str(folder))


def run() -> None:
    package: Any = importlib.import_module("deals_client")
    client = package.ApiClient(package.Configuration(host=SERVICE))
    deals, exports = package.DealsApi(client), package.ExportsApi(client)

    def send(content: bytes) -> Any:
        return deals.upload_create(deals=("deals.csv", content))

    def error_of(call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            call(*arguments, **options)
        except package.ApiException as error:
            return error.data
        raise SystemExit("The request is not rejected.")

    check("upload", send(REAL_FILE.read_bytes()).status, "OK")
    first = deals.top_clients_retrieve(limit=5).response[0]
    check("typed response", (first.username, first.spent_money, len(first.gems)), ("resplendent", 451731, 3))
    lines = exports.deals_ndjson(filter='{"customer": {"eq": "resplendent"}}').splitlines()
    check("selected deals as binary NDJSON", sum(json.loads(line)["total"] for line in lines), 451731)
    header = b"customer,item,total,quantity,date\n"
    row = "ann,ruby,{},1,2020-01-02 03:04:05\n"
    send(header + b"".join(row.format(total).encode() for total in ("0.1", "0.2")))
    check("money is exact", [item.spent_money for item in deals.top_clients_retrieve().response], [0.3])
    error = error_of(send, header + row.format("12x").encode())
    (cell,) = error.errors
    check("error of a rejected file", (error.code, cell.line, cell.column), ("bad_cells", 2, "total"))
    missing = error_of(exports.deals_ndjson, upload="00000000-0000-0000-0000-000000000000")
    check("error of an export", missing.code, "upload_not_retained")


with tempfile.TemporaryDirectory() as temporary:
    generated(Path(temporary))
    run()
