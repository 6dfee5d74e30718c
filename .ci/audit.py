"""Known weaknesses in what the service runs on: each pinned version against PyPI's advisories.

Where the package index that is reached has no advisories, this says so and what was not looked at; it fails only
for a weakness that is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Not among the project's requirements: it brings thirty packages that nothing else needs.
AUDITOR = "pip-audit==2.10.1"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        programs = Path(folder, "bin")
        subprocess.run([programs / "pip", "install", "-qqq", AUDITOR], check=True)
        told = subprocess.run(
            [programs / "pip-audit", "-r", ROOT / "requirements.txt", "--no-deps", "--disable-pip", "--format", "json"],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    if not told.stdout.strip():
        sys.exit(f"pip-audit said nothing: {told.stderr[-1000:]}")
    packages = json.loads(told.stdout)["dependencies"]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    weak = [
        f"{package['name']} {package['version']}: {weakness['id']}"
        for package in packages
        for weakness in package.get("vulns", ())
    ]
    audited = len(packages) - len(unknown)
    print(f"{audited} of {len(packages)} packages were audited; {len(weak)} known weaknesses.")
    if unknown:
        print(f"Not audited, because their advisories cannot be reached from here: {', '.join(unknown)}")
    if weak:
        print("\n".join(weak))
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main())
