"""``docker-compose up`` in a clean clone, as the README has it, and what must hold from then on.

First with docker-compose 1.29, then with Compose v2: the same file, the same demands.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import readme
from engine import LAB, compose_v2, engine
from stack import Stack
from trial import (
    REAL_FILE,
    RIGHT_ANSWER,
    clean_clone,
    free_port,
    must,
    running,
    say,
    tell,
    upload_and_read,
    wait_until,
)

#: So often does the upload that is stopped half-way hold the deals of the real file.
TIMES = 20
AFTER_THE_STOP = {
    "response": [place | {"spent_money": TIMES * place["spent_money"]} for place in RIGHT_ANSWER["response"]]
}


def story() -> None:
    if not LAB.is_file():
        must(os.environ.get("CI") != "true", f"{LAB} is not there, so docker-compose up cannot be tried")
        say(f"There is no {LAB}, so docker-compose up is not tried.")
        return
    with clean_clone() as clone, engine(clone) as environment, tempfile.TemporaryDirectory() as folder:
        everything_holds(Stack(clone, "docker-compose", free_port(), environment))
        if with_v2 := compose_v2(environment, Path(folder)):
            everything_holds(Stack(clone, "docker compose", free_port(), with_v2))


def everything_holds(stack: Stack) -> None:
    say(f"{stack.compose} {stack('version', '--short').strip()}:")
    try:
        with up_as_in_the_readme(stack) as up:
            upload_and_read(stack.port, cwd=stack.clone, env=stack.environment)
            say("  up, as the README says: web starts when db and redis are healthy, and the answer is right")
            web_may_do_little(stack)
            say("  web is not root, has no capabilities and cannot write its code; the image holds only what runs")
            commands_work(stack)
            say("  in the container, the commands of the README do their work, and metrics are counted")
            pages_are_whole(stack)
            say("  every address that the pages name is there")
            stop_waits_for_the_upload(stack)
            wait_until(lambda: up.poll() is not None, 60, "the README's command went on after all had stopped")
            say("  stop lets the upload in flight finish; web and db end with 0")
        data_outlive(stack)
        say("  the data outlive stop, restart and down")
        redis_is_not_needed(stack)
        say("  without redis an upload is taken and the answers are right")
    except BaseException:
        stack.show()
        raise
    finally:
        stack.remove()


@contextlib.contextmanager
def up_as_in_the_readme(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    command = readme.block(r"\Adocker-compose up\Z").replace("docker-compose", stack.compose)
    with (
        tempfile.TemporaryDirectory() as folder,
        stack.events(Path(folder) / "events") as events,
        running(command, Path(folder) / "log", cwd=stack.clone, env=stack.environment) as up,
    ):
        wait_until(lambda: stack.is_healthy() or up.poll() is not None, 480, "web was not healthy")
        must(up.returncode is None, f"{command} ended with {up.returncode}")
        web_started_last(events.read_text())
        yield up


def web_started_last(events: str) -> None:
    told = [(event["Actor"]["Attributes"], event["status"]) for event in map(json.loads, events.splitlines())]
    order = ", ".join(f"{labels['com.docker.compose.service']} {status}" for labels, status in told)
    before, _, after = order.partition("web start")
    healthy = all(f"{service} health_status: healthy" in before for service in ("db", "redis"))
    must(healthy and "web start" not in after, f"web must start once, after db and redis are healthy; it went {order}")


def web_may_do_little(stack: Stack) -> None:
    status = dict(line.split(":\t", 1) for line in stack.inside("cat /proc/self/status").splitlines() if ":\t" in line)
    must(set(status["Uid"].split()) == {"10001"}, f"web runs as {status['Uid']}")
    must(not any(int(status[f"Cap{which}"], 16) for which in ("Prm", "Eff", "Bnd")), f"web has capabilities: {status}")
    must(status["NoNewPrivs"] == "1", "web may gain privileges")
    for place in ("/app/x", "/app/project/x", "/x"):
        must("Read-only" in stack.inside(f"touch {place} 2>&1 || true"), f"web can write {place}")
    image = stack.described("web")["Image"]
    # The code stays closed to its own user where somebody runs the image without read_only, too.
    writable = stack.docker("run", "--rm", image, "find", "/app", "/opt/venv", "-writable", "!", "-type", "l").split()
    must(not writable, f"web's user may write {writable}")
    packages = {path.parent.name for path in stack.clone.glob("*/__init__.py")} - {"tests"}
    there = set(stack.inside("ls -A /app").split())
    what_runs = {"manage.py", "requirements.txt", "collected", "__pycache__"} | packages
    must(there == what_runs, f"the image holds {there}, not {what_runs}")
    stray = stack.inside("find /app -name '.*' -o -name '*.sqlite3*' -o -name '*.csv' -o -name tests").split()
    must(not stray, f"the image has {stray}")
    unused = stack.inside("find /opt/venv /app -type d -name LC_MESSAGES -o -type d -name redoc").split()
    must(not unused, f"the image contains unused translations or Redoc: {unused[:3]}")
    told = stack.docker("history", "--no-trunc", image) + stack.docker("inspect", "-f", "{{.Config.Env}}", image)
    must(not any(word in told for word in ("PASSWORD", "SECRET", "TOKEN")), f"the image tells a secret: {told}")


def commands_work(stack: Stack) -> None:
    """As ``docker-compose exec web`` starts them, where only /tmp can be written to."""
    ranking = json.loads(stack.inside("python manage.py top_clients --format json"))
    must(ranking == RIGHT_ANSWER, f"top_clients said {ranking}")
    said = stack.inside("printf nonsense | python manage.py load_deals - 2>&1; echo $?")
    must(said.startswith("CommandError: ") and said.split()[-1] == "1", f"load_deals said {said}")
    chosen = "--no-input --username root --email root@example.org"
    stack.inside(f"DJANGO_SUPERUSER_PASSWORD=gems-and-more python manage.py createsuperuser {chosen}")
    must("deals_uploads_total" in stack.get("/metrics", "text/plain"), "nothing was counted")


def pages_are_whole(stack: Stack) -> None:
    """Only in the image are the files of pages collected; elsewhere they are served from where they lie."""
    for page in ("/", "/graphql/", "/api/docs/", "/api/upload/"):
        named = re.findall(r"""(?:src|href)=["'](/[^"']+)""", stack.get(page, "text/html"))
        must([address for address in named if address.startswith("/static/")], f"{page} loads nothing: {named}")
        for address in named:
            script = stack.get(address)
            must(script, f"{page} names {address}, which is empty")
            for module in re.findall(r'^import .* from "\./(\w+\.js)";$', script, re.MULTILINE):
                must(stack.get(f"{address.rpartition('/')[0]}/{module}"), f"{address} imports {module}, which is empty")


def stop_waits_for_the_upload(stack: Stack) -> None:
    """Half of a file has arrived when everything is told to stop; its other half follows."""
    header, *deals = REAL_FILE.read_bytes().splitlines(keepends=True)
    opening = b'--edge\r\nContent-Disposition: form-data; name="deals"; filename="deals.csv"\r\n\r\n'
    body = opening + header + b"".join(deals) * TIMES + b"\r\n--edge--\r\n"
    must(not stack.inside("ls /tmp"), "the upload before has left something in web's /tmp")
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=150)) as client:
        client.putrequest("POST", "/api/upload/")
        client.putheader("Content-Type", "multipart/form-data; boundary=edge")
        client.putheader("Content-Length", str(len(body)))
        client.endheaders(body[: len(body) // 2])
        received = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep upload || true"
        wait_until(lambda: stack.inside(received), 60, "web held no half of a file")
        log = stack.clone.parent / "stop.log"
        with running(f"{stack.compose} stop", log, cwd=stack.clone, env=stack.environment) as stop:
            wait_until(lambda: "Handling signal: term" in stack.logs("web"), 60, "web had not heard of the stop")
            time.sleep(2)
            must(stack.described("web")["State"]["Running"], "web ended with an upload in flight")
            client.send(body[len(body) // 2 :])
            said = client.getresponse().read()
            must(json.loads(said) == {"Status": "OK"}, f"the upload in flight was answered {said!r}")
            wait_until(lambda: stop.poll() is not None, 150, "`stop` went on")
            must(stop.returncode == 0, f"`stop` ended with {stop.returncode}")
    for service in ("web", "db"):
        state = stack.described(service)["State"]
        must(not state["Running"] and state["ExitCode"] == 0, f"{service} did not end with 0 but so: {state}")


def data_outlive(stack: Stack) -> None:
    for steps in ["up -d"], ["restart"], ["down", "up -d"]:
        for step in steps:
            stack(*step.split())
        stack.wait_until_healthy()
        must_answer(stack, AFTER_THE_STOP, f"after {steps}")


def redis_is_not_needed(stack: Stack) -> None:
    stack("stop", "redis")
    must_answer(stack, AFTER_THE_STOP, "without redis")
    upload_and_read(stack.port, cwd=stack.clone, env=stack.environment)
    stack("start", "redis")
    must_answer(stack, RIGHT_ANSWER, "with redis again")


def must_answer(stack: Stack, right: dict[str, Any], when: str) -> None:
    answer = stack.answer()
    must(answer == right, f"{when} the answer is {answer}")


if __name__ == "__main__":
    tell(story, minutes=15)
