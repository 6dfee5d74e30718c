"""openapi-spec-validator: the served description is valid in both formats, and an invalid one is reported.

python validator.py SERVICE
"""

from __future__ import annotations

import sys

import httpx
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator


def errors_of(description: object) -> list[str]:
    return [error.message for error in OpenAPIV30SpecValidator(description).iter_errors()]


def check(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise SystemExit(f"{what}: {actual!r} instead of {expected!r}")
    print(f"ok: {what}")


for name in ("json", "yaml"):
    response = httpx.get(f"{sys.argv[1]}/api/schema/?format={name}", timeout=300)
    description = yaml.safe_load(response.text)
    check(f"{name} is valid", errors_of(description), [])
del description["paths"]["/api/upload/"]["post"]["responses"]
check("an operation without responses is invalid", errors_of(description), ["'responses' is a required property"])
