"""Runs random documents against the service in this process, and compares each response with its prediction."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.oracle.answers import Oracle
from tests.oracle.documents import Document, Generator
from tests.oracle.files import random_file

#: Documents for each file.
DOCUMENTS_PER_FILE = 20
#: Errors that a response contains.
MAX_ERRORS = 5
ACTIVATE = "mutation ($id: ID!) { activateUpload(id: $id) { __typename } }"


@dataclass
class Report:
    """The results of a run. ``costs`` has the cost of each document, or the code of its rejection as a whole."""

    documents: int = 0
    rejected: int = 0
    costs: list[Any] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class Run:
    """A service without uploads, and the oracle that knows what is uploaded to it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311
        self.client = Client()
        self.oracle = Oracle()
        self.generator = Generator(self.rng, self.oracle.known)
        self.report = Report()

    def execute(self, documents: int) -> Report:
        while self.report.documents < documents:
            self.change_current_upload()
            for _ in range(min(DOCUMENTS_PER_FILE, documents - self.report.documents)):
                assert self.oracle.current is not None
                self.compare(self.generator.document(self.oracle.current))
        return self.report

    def change_current_upload(self) -> None:
        """Upload a new file or, less often, activate an earlier one."""
        if len(self.oracle.uploads) > 2 and self.rng.random() < 0.3:
            id_, upload = self.rng.choice(list(self.oracle.known.upload_ids.items()))
            body = self.post({"query": ACTIVATE, "variables": {"id": id_}})
            assert body["data"]["activateUpload"]["__typename"] == "UploadActivated", body
        else:
            upload, content = random_file(self.rng, len(self.oracle.uploads) + 1)
            response = self.client.post("/api/upload/", {"deals": SimpleUploadedFile(upload.name, content)})
            assert response.json() == {"Status": "OK"}, (response.content, content)
            self.oracle.uploads.append(upload)
        self.oracle.current = upload
        self.oracle.known.upload_ids[self.post({"query": "{currentUpload {id}}"})["data"]["currentUpload"]["id"]] = (
            upload
        )

    def compare(self, document: Document) -> None:
        body = {"query": document.text, "variables": document.variables}
        response = self.post(body) if self.rng.random() < 0.7 else self.get(body)
        report, cost = self.report, response["extensions"]["cost"]["requested"] if "extensions" in response else None
        report.documents += 1
        codes = [error["extensions"]["code"] for error in response.get("errors", ())]
        report.costs.append(cost)
        if "limit_exceeded" in codes or len(codes) == MAX_ERRORS:  # the latter may hide the former
            report.rejected += 1
            return
        data, errors = self.oracle.predict(document)
        actual = {(error.get("path", [""])[0], error["extensions"]["code"]) for error in response.get("errors", ())}
        found = self.oracle.differences(data, response.get("data"))
        if actual != errors:
            found.append(f"expected the errors {errors}, not {response.get('errors')}")
        if found:
            report.differences.append("\n".join([document.text, json.dumps(document.variables), *found]))

    def post(self, body: dict[str, Any]) -> Any:
        return self.client.post("/graphql/", json.dumps(body), content_type="application/json").json()

    def get(self, body: dict[str, Any]) -> Any:
        return self.client.get("/graphql/", {**body, "variables": json.dumps(body["variables"])}).json()
