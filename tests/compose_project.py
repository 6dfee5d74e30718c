"""A docker-compose project with a unique name and port, and queries about its containers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.servers import wait_until
from tests.smoke import environment_without_settings, kill_session, run


@dataclass
class ComposeProject:
    """``compose`` is ``docker-compose`` or ``docker compose``; ``folder`` holds docker-compose.yml."""

    compose: str
    folder: Path
    port: int
    name: str = field(init=False)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"deals-test-{self.port}"
        self.environment = environment_without_settings() | {
            "COMPOSE_PROJECT_NAME": self.name, "TAG": self.name, "PORT": str(self.port), "COMPOSE_HTTP_TIMEOUT": "300",
        }  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        """Run one Compose command and return its output."""
        return run([*self.compose.split(), *arguments], 240, cwd=self.folder, env=self.environment)

    def docker(self, *arguments: str) -> str:
        return run(["docker", *arguments], 60, env=self.environment)

    def ids(self, kind: str, **labels: str) -> list[str]:
        """Return the ids of the project's objects of one kind: ``container``, ``volume`` or ``network``."""
        labels = {"project": self.name, **labels}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return self.docker(kind, "ls", "-q", *(["--all"] if kind == "container" else []), *filters).split()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return the description of a service's container by ``docker inspect``."""
        [container] = json.loads(self.docker("inspect", *self.ids("container", service=service)))
        return dict(container)

    def shell(self, script: str, service: str = "web") -> str:
        """Run a shell script in the first container of a service and return its output."""
        return self.docker("exec", self.ids("container", service=service)[0], "sh", "-c", script)

    def logs(self, service: str) -> str:
        command = 'docker logs --tail 200 "$0" 2>&1'
        return run(["sh", "-c", command, *self.ids("container", service=service)], 60, env=self.environment)

    def states_and_logs(self) -> str:
        command = 'docker inspect --format "--- {{.Name}}: {{json .State}}" "$0"; docker logs --tail 200 "$0" 2>&1'
        containers = self.ids("container")
        return "\n".join(run(["sh", "-c", command, name], 60, env=self.environment) for name in containers)

    def is_healthy(self) -> bool:
        """Return whether the proxy and every container of the web service is healthy."""
        containers = [self.ids("container", service=service) for service in ("proxy", "web")]
        if not all(containers):
            return False
        descriptions = json.loads(self.docker("inspect", *containers[0], *containers[1]))
        states = [container["State"] for container in descriptions]
        return all(state["Running"] and state.get("Health", {}).get("Status") == "healthy" for state in states)

    def wait_until_healthy(self) -> None:
        wait_until(self.is_healthy, 240, "a container is not healthy")

    def get(self, path: str, accept: str = "*/*") -> str:
        """Return the body at a path of the service; raise HTTPError unless the status is a success."""
        url = f"http://localhost:{self.port}{path}"
        response = httpx.get(url, headers={"Accept": accept}, timeout=60, follow_redirects=True)
        return response.raise_for_status().text

    def top_clients(self) -> Any:
        return json.loads(self.get("/api/top-clients/"))

    @contextlib.contextmanager
    def recorded_events(self, log: Path) -> Iterator[None]:
        """Write each container start and health change to the log, one JSON object per line."""
        filters = [f"label=com.docker.compose.project={self.name}", "type=container", "event=start"]
        command = ["docker", "events", "--since", str(int(time.time())), "--format", "{{json .}}"]
        command += [f"--filter={value}" for value in (*filters, "event=health_status")]
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=self.environment, stdout=output, start_new_session=True)
        try:
            yield
        finally:
            kill_session(process)

    def remove(self) -> None:
        """Remove containers, volumes, networks and images in any state."""
        if containers := self.ids("container"):
            self.docker("container", "rm", "--force", "--volumes", *containers)
        for kind in ("volume", "network"):
            if objects := self.ids(kind):
                self.docker(kind, "rm", *objects)
        if images := self.docker("image", "ls", "-q", "--filter", f"reference=*:{self.name}").split():
            self.docker("image", "rm", "--force", *images)
