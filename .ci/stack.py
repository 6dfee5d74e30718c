"""The project's containers under a name of their own, and what can be asked of them. Judges nothing."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trial import end, run, wait_until


@dataclass
class Stack:
    """One clone under one Compose, which is ``docker-compose`` or ``docker compose``, on one port."""

    clone: Path
    compose: str
    port: int
    environment: dict[str, str]

    def __post_init__(self) -> None:
        self.name = f"deals-trial-{self.port}"
        mine = {"COMPOSE_PROJECT_NAME": self.name, "PORT": str(self.port), "COMPOSE_HTTP_TIMEOUT": "300"}
        self.environment = self.environment | mine

    def __call__(self, *arguments: str) -> str:
        """What one command of Compose prints."""
        return run([*self.compose.split(), *arguments], 240, cwd=self.clone, env=self.environment)

    def docker(self, *arguments: str) -> str:
        return run(["docker", *arguments], 60, env=self.environment)

    def ids(self, kind: str, **labels: str) -> list[str]:
        """What this project has of one kind: ``container``, ``volume`` or ``network``."""
        labels = {"project": self.name, **labels}
        wanted = [f"label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return self.docker(kind, "ls", "-q", *(["--all"] if kind == "container" else []), *filtered(wanted)).split()

    def described(self, service: str) -> dict[str, Any]:
        """All that ``docker inspect`` knows of the service's one container."""
        [container] = json.loads(self.docker("inspect", *self.ids("container", service=service)))
        return dict(container)

    def inside(self, script: str) -> str:
        """What a shell script prints in ``web``."""
        return self.docker("exec", *self.ids("container", service="web"), "sh", "-c", script)

    def logs(self, service: str) -> str:
        both = 'docker logs --tail 200 "$0" 2>&1'
        return run(["sh", "-c", both, *self.ids("container", service=service)], 60, env=self.environment)

    def is_healthy(self) -> bool:
        if not self.ids("container", service="web"):
            return False
        health = self.described("web")["State"].get("Health", {})
        return bool(health.get("Status") == "healthy")

    def wait_until_healthy(self) -> None:
        wait_until(self.is_healthy, 240, "web was not healthy")

    def answer(self) -> Any:
        with urllib.request.urlopen(f"http://localhost:{self.port}/api/top-clients/", timeout=60) as response:
            return json.load(response)

    @contextlib.contextmanager
    def events(self, log: Path) -> Iterator[Path]:
        """A file to which Docker adds every start of a container and every change of health, one JSON a line."""
        mine = f"label=com.docker.compose.project={self.name}"
        command = ["docker", "events", "--since", str(int(time.time())), "--format", "{{json .}}"]
        command += filtered([mine, "type=container", "event=start", "event=health_status"])
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=self.environment, stdout=output, start_new_session=True)
        try:
            yield log
        finally:
            end(process)

    def show(self) -> None:
        """How each container is and what it said, for whoever must find out why a trial failed."""
        for service in ("web", "db", "redis"):
            if self.ids("container", service=service):
                print(f"--- {service}: {self.described(service)['State']}\n{self.logs(service)}", flush=True)

    def remove(self) -> None:
        """Containers, volumes, networks and the image, whatever state they are in."""
        if containers := self.ids("container"):
            self.docker("container", "rm", "--force", "--volumes", *containers)
        for kind in ("volume", "network"):
            if left := self.ids(kind):
                self.docker(kind, "rm", *left)
        if images := self.docker("image", "ls", "-q", "--filter", f"reference={self.name}*").split():
            self.docker("image", "rm", "--force", *images)


def filtered(filters: list[str]) -> list[str]:
    return [part for one in filters for part in ("--filter", one)]
