"""Environment variables: names, defaults, valid values, and the errors of invalid values."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest
import redis  # noqa: F401 # OpenTelemetry, which it imports, reads variables of its own
from django.core.exceptions import ImproperlyConfigured

from deals_api import limits
from deals_api.limits import Limits
from tests.servers import ROOT

pytestmark = pytest.mark.database_independent

#: Variable: name of the setting or limit, minimum, maximum, default.
NUMBERS: dict[str, tuple[str, int, int, int]] = {
    "PORT": ("PORT", 1, 65535, 8000),
    "WEB_WORKERS": ("WEB_WORKERS", 1, 64, 2),
    "WEB_THREADS": ("WEB_THREADS", 1, 64, 8),
    "SECURE": ("SECURE", 0, 1, 0),
    "GRAPHIQL": ("GRAPHIQL", 0, 1, 1),
    "PROXIES": ("PROXIES", 0, 10, 0),
    "LOG_REQUESTS": ("LOG_REQUESTS", 0, 1, 1),
    "METRICS": ("METRICS", 0, 1, 1),
    **{limit.metadata["env"]: (limit.name, *limit.metadata["accepted"].values()) for limit in fields(Limits)},
}
OTHERS = {
    "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS", "API_TOKENS", "READ_REQUIRES_TOKEN", "CORS_ORIGINS",
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG", "BASE_PATH", "BIND", "STATIC_FILES_DIR", "PERSISTED_DOCUMENTS", "DATABASE_REPLICA_URLS",
    "UPLOADS_DIR", "WEBHOOK_URL", "WEBHOOK_SECRET",
}  # fmt: skip


class Environment(dict[str, str]):
    """An environment that records which of its variables are read."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables)
        self.names_read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names_read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.names_read.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.names_read.add(str(name))
        return super().__contains__(name)


def settings_of(**variables: str) -> dict[str, Any]:
    """Return the settings of a process with only these variables."""
    return settings_in(Environment(variables))


def settings_in(environment: Environment) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environment)
        return runpy.run_path(str(ROOT / "project" / "settings.py"))


def variables_read() -> set[str]:
    """Return all variables that the settings read, with and without optional services."""
    minimal = Environment({})
    full = Environment({"DATABASE_URL": "postgres://db/deals", "REDIS_URL": "redis://redis", "SECURE": "1"})
    settings_in(minimal)
    settings_in(full)
    return minimal.names_read | full.names_read


def defaults_read() -> dict[str, int]:
    """Return the default of every variable that is read as a number."""
    defaults: dict[str, int] = {}
    read = limits.whole_number

    def record(environment: Mapping[str, str], name: str, *, minimum: int, maximum: int, default: int) -> int:
        defaults[name] = default
        return read(environment, name, minimum=minimum, maximum=maximum, default=default)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "whole_number", record)
        settings_of()
    return defaults


def number_in(settings: dict[str, Any], name: str) -> int:
    setting = NUMBERS[name][0]
    return int(settings[setting] if setting in settings else getattr(settings["DEALS_LIMITS"], setting))


def test_settings_read_exactly_the_known_variables() -> None:
    assert variables_read() == NUMBERS.keys() | OTHERS
    assert len({limit.metadata["env"] for limit in fields(Limits)}) == len(fields(Limits))


# Numbers


@pytest.mark.parametrize("name", NUMBERS)
def test_unset_or_empty_number_has_its_default(name: str) -> None:
    default = NUMBERS[name][3]
    assert [number_in(settings_of(**variables), name) for variables in ({}, {name: ""}, {name: " "})] == [default] * 3


@pytest.mark.parametrize("name", NUMBERS)
def test_variable_changes_only_the_setting_of_its_name(name: str) -> None:
    for value in NUMBERS[name][1:3]:
        settings = settings_of(**{name: f" {value} "})
        found = {other: number_in(settings, other) for other in NUMBERS}
        assert found == {other: row[3] for other, row in NUMBERS.items()} | {name: value}


@pytest.mark.parametrize("name", NUMBERS)
def test_number_out_of_range_is_rejected_with_its_variable(name: str) -> None:
    _, minimum, maximum, _ = NUMBERS[name]
    for text in (str(minimum - 1), str(maximum + 1), "-1", "+5", "5.0", "1e3", "1_000", "٥", "yes", "0x10", "5 5"):
        message = f"^{name} must be a whole number from {minimum} to {maximum}, not {re.escape(repr(text))}$"
        with pytest.raises(ImproperlyConfigured, match=message):
            settings_of(**{name: text})


# Database and cache


def database(url: str) -> dict[str, Any]:
    entry: dict[str, Any] = settings_of(DATABASE_URL=url)["DATABASES"]["default"]
    return entry


@pytest.mark.parametrize("variables", [{}, {"DATABASE_URL": ""}])
def test_default_database_is_a_sqlite_file_in_the_project_folder(variables: dict[str, str]) -> None:
    entry = settings_of(**variables)["DATABASES"]["default"]
    assert (entry["ENGINE"], entry["NAME"]) == ("django.db.backends.sqlite3", str(ROOT / "deals.sqlite3"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:////srv/deals/x.sqlite3", "/srv/deals/x.sqlite3"),
        ("sqlite:///x.sqlite3", "x.sqlite3"),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_sqlite_url_is_the_path_of_a_file(url: str, name: str) -> None:
    entry = database(url)
    assert (entry["ENGINE"], entry["NAME"]) == ("django.db.backends.sqlite3", name)
    assert entry["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert entry["OPTIONS"]["init_command"] == "PRAGMA journal_mode=WAL"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_postgres_url_has_user_host_and_database(scheme: str) -> None:
    entry = database(f"{scheme}://ann:p%40ss%2Fword@db.example:5433/deals?sslmode=require")
    assert entry["ENGINE"] == "deals_api.postgresql"
    assert (entry["USER"], entry["PASSWORD"]) == ("ann", "p@ss/word")
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == ("db.example", 5433, "deals")
    assert entry["OPTIONS"] == {**settings_of()["POSTGRES_OPTIONS"], "sslmode": "require"}
    assert (entry["CONN_MAX_AGE"], entry["CONN_HEALTH_CHECKS"]) == (None, True)


@pytest.mark.parametrize(
    ("hosts", "names", "ports"),
    [
        ("db1:5432,db2:5433", "db1,db2", "5432,5433"),
        ("db1,db2,db3", "db1,db2,db3", ",,"),
        ("[::1]:5433,db2,[2001:db8::2]", "::1,db2,2001:db8::2", "5433,,"),
    ],
)
def test_postgres_url_may_have_several_hosts(hosts: str, names: str, ports: str) -> None:
    entry = database(f"postgres://ann:p%40ss,word@{hosts}/deals?target_session_attrs=primary")
    assert (entry["HOST"], entry["PORT"]) == (names, ports)
    assert (entry["USER"], entry["PASSWORD"], entry["NAME"]) == ("ann", "p@ss,word", "deals")
    assert entry["OPTIONS"] == {**settings_of()["POSTGRES_OPTIONS"], "target_session_attrs": "primary"}


@pytest.mark.parametrize(
    "urls",
    [
        "postgres://ann@r1/deals,postgres://bob@r2:5433,r3:5434/deals",
        " postgres://ann@r1/deals\n\tpostgresql://bob@r2:5433,r3:5434/deals , ",
    ],
)
def test_replica_urls_are_separated_by_commas_or_whitespace(urls: str) -> None:
    """A comma within a URL separates its hosts."""
    settings = settings_of(DATABASE_URL="postgres://db/deals", DATABASE_REPLICA_URLS=urls)
    assert settings["REPLICAS"] == ["replica1", "replica2"]
    assert settings["DATABASE_ROUTERS"] == ["deals_api.snapshots.replicas.Router"]
    first, second = (settings["DATABASES"][alias] for alias in settings["REPLICAS"])
    assert (first["USER"], first["HOST"], first["NAME"]) == ("ann", "r1", "deals")
    assert (second["USER"], second["HOST"], second["PORT"]) == ("bob", "r2,r3", "5433,5434")
    assert {entry["ENGINE"] for entry in settings["DATABASES"].values()} == {"deals_api.postgresql"}
    assert (first["OPTIONS"]["target_session_attrs"], first["OPTIONS"]["connect_timeout"]) == ("any", 2)
    assert settings["DATABASES"]["default"]["OPTIONS"] == settings["POSTGRES_OPTIONS"]


@pytest.mark.parametrize("variables", [{}, {"DATABASE_REPLICA_URLS": " , "}])
def test_without_replica_urls_only_the_primary_is_read(variables: dict[str, str]) -> None:
    settings = settings_of(DATABASE_URL="postgres://db/deals", **variables)
    assert (list(settings["DATABASES"]), settings["REPLICAS"]) == (["default"], [])
    assert "DATABASE_ROUTERS" not in settings


@pytest.mark.parametrize(
    "url", ["sqlite:///x.sqlite3", "postgres://r1", "postgres://r1:x/deals", "r1", ",r1", "postgres://r1/d?x=1"]
)
def test_invalid_replica_url_is_rejected_with_its_variable(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_REPLICA_URLS "):
        settings_of(DATABASE_URL="postgres://db/deals", DATABASE_REPLICA_URLS=f"postgres://r0/deals {url}")


@pytest.mark.parametrize("variables", [{}, {"REDIS_URL": ""}])
def test_without_redis_url_there_is_no_shared_cache(variables: dict[str, str]) -> None:
    assert settings_of(**variables)["CACHES"]["default"]["BACKEND"].endswith(".DummyCache")


def test_redis_url_is_the_location_of_the_cache() -> None:
    entry = settings_of(REDIS_URL="rediss://:secret@redis.example:6380/2")["CACHES"]["default"]
    assert entry["BACKEND"] == "django_redis.cache.RedisCache"
    assert entry["LOCATION"] == "rediss://:secret@redis.example:6380/2"


# Hosts and security


def test_allowed_hosts_are_read_from_the_variable() -> None:
    own_hosts = ["localhost", "127.0.0.1"]
    assert settings_of()["ALLOWED_HOSTS"] == ["*", *own_hosts]
    assert settings_of(ALLOWED_HOSTS="a.example, b.example")["ALLOWED_HOSTS"] == ["a.example", "b.example", *own_hosts]
    assert settings_of(ALLOWED_HOSTS="")["ALLOWED_HOSTS"] == ["*", *own_hosts]


def test_each_process_generates_its_own_secret_key_by_default() -> None:
    keys = [settings_of(**variables)["SECRET_KEY"] for variables in ({}, {}, {"SECRET_KEY": ""})]
    assert len(set(keys)) == 3
    assert min(map(len, keys)) >= 50
    assert settings_of(SECRET_KEY="chosen")["SECRET_KEY"] == "chosen"  # noqa: S105, S106


def test_tls_is_required_only_if_secure_is_set() -> None:
    secure = settings_of(SECURE="1")
    assert secure["SECURE_SSL_REDIRECT"] is True
    assert secure["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")
    for variables in ({}, {"SECURE": ""}, {"SECURE": "0"}):
        assert "SECURE_SSL_REDIRECT" not in settings_of(**variables)


# Base path


@pytest.mark.parametrize(
    ("variable", "path"),
    [(None, ""), ("", ""), ("/", ""), ("/deals", "/deals"), (" /deals/ ", "/deals"), ("/tools/deals/", "/tools/deals")],
)
def test_base_path_is_stored_without_its_final_slash(variable: str | None, path: str) -> None:
    settings = settings_of(**({} if variable is None else {"BASE_PATH": variable}))
    assert settings["BASE_PATH"] == path
    assert settings["ADMIN_PATH"] == settings["SESSION_COOKIE_PATH"] == settings["CSRF_COOKIE_PATH"] == f"{path}/admin/"


# Traces


def test_traces_require_a_nonempty_collector_endpoint() -> None:
    assert settings_of(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318")["TRACES"] is True
    assert settings_of()["TRACES"] is False
    variables = Environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_TRACES_SAMPLER": ""})
    assert settings_in(variables)["TRACES"] is False
    assert variables == {}


# Invalid values

INVALID = {
    "BIND": ["localhost", "1.2.3", "127.0.0.1:8000"],
    "STATIC_FILES_DIR": ["/no such folder"],
    "UPLOADS_DIR": ["/no such folder"],
    # The last one lacks a secret.
    "WEBHOOK_URL": ["a.example/hook", "ftp://a.example", "https://", "https://a.example"],
    "WEBHOOK_SECRET": ["hunter2", "c2hvcnQ=", "whsec_", "whsec_c2hvcnQ=", "0123456789abcdef0123456789abcde?"],
    "PERSISTED_DOCUMENTS": ["/no such file", "/", str(ROOT / "README.md"), str(ROOT / "tests/frontend/package.json")],
    "DATABASE_URL": [
        "mysql://db/deals", "oracle://db/deals", "postgis://db/deals", "http://db/deals", "/srv/deals.sqlite3",
        "nonsense", "postgres://db:port/deals", "postgres://db:99999/deals", "postgres://db",
        "postgres://db/deals?nonsense=1", "postgres://db/a%00b", "postgres://[::1/deals",
        "postgres://db1:5432,db2:port/deals", "postgres://db1,db2:99999/deals", "postgres://db1,/deals",
        "postgres://db1,,db2/deals", "postgres://[::1],[::2/deals", "postgres://db1,db2", "postgres://db1,db2/deals?x=1",
        "postgres://db/deals?target_session_attrs=any", "postgres://db/deals?target_session_attrs=standby",
        "sqlite://folder/file", "sqlite:////folder/a%00b", "sqlite:///file?nonsense=1", "sqlite:///file?timeout=soon",
    ],
    "DATABASE_REPLICA_URLS": ["postgres://replica/deals", "sqlite:///x.sqlite3", "nonsense"],  # the primary is SQLite
    "REDIS_URL": [
        "redis.example:6379", "http://redis", "nonsense", "redis://redis:port/0", "redis://redis:99999",
        "redis://redis?db=x", "redis://redis?nonsense=1", "rediss://redis?ssl_cert_reqs=nonsense", "redis://[::1",
    ],
    "ALLOWED_HOSTS": ["http://a.example", "a.example:8000", "a.example/deals", "a b", "*.example", "::1"],
    "CORS_ORIGINS": ["*", "a.example", "https://a.example/", "https://a.example b.example", "//a.example", "https://["],
    "API_TOKENS": ["secret", "ann:short", ":0123456789abcdef", "ann:0123456789abcdeж"],
    "READ_REQUIRES_TOKEN": ["1", "2", "yes"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": ["collector:4318", "grpc://collector:4317", "http://", "http:// collector"],
    "OTEL_EXPORTER_OTLP_HEADERS": ["secret", "a=b,secret"],
    "OTEL_TRACES_SAMPLER": ["sometimes", "always_on,always_off"],
    "OTEL_TRACES_SAMPLER_ARG": ["half", "2", "-1", "1.5", "0,5", "."],
    "BASE_PATH": [
        "deals", "//", "/a//b", "/a/../b", "/.", "/a b", "/a\n/b", "/%20", "/a?b", "/a#b", "/<int:x>", "/д", "/ſ",
        "http://a.example/deals", "/health", "/health/deals", "/metrics/",
    ],
    **{name: ["x", "9" * 5_000] for name in NUMBERS},
}  # fmt: skip
VALID = {
    "ALLOWED_HOSTS": ["*", "a.example", ".example", "10.0.0.1", "[::1]", "my_host", "пример.рф", "a.example,, b,"],
    "CORS_ORIGINS": ["https://a.example", "http://localhost:3000, https://[::1]:8443", "null", "chrome-extension://abc"],
    "BASE_PATH": ["/", "/deals", "/deals/", "/a/b", "/healthy", "/...", "/A.b_c~d-1"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": ["http://collector:4318", "https://a.example/otlp?x=y"],
    "OTEL_EXPORTER_OTLP_HEADERS": ["authorization=Bearer%20x", "a=b, c=d=e,"],
    "OTEL_TRACES_SAMPLER": ["parentbased_traceidratio", "ALWAYS_ON"],
    "OTEL_TRACES_SAMPLER_ARG": ["0", "0.25", ".5", "1", "1.0", "1."],
    "DATABASE_URL": ["postgres:///deals?service=x", "postgres:///?service=x", "sqlite:////srv/deals.sqlite3?timeout=5"],
    "REDIS_URL": ["redis://", "unix:///run/redis.sock?db=1", "redis://redis?socket_timeout=1.5"],
}  # fmt: skip


def test_every_variable_except_free_text_has_invalid_values() -> None:
    assert INVALID.keys() == (NUMBERS.keys() | OTHERS) - {"SECRET_KEY", "OTEL_SERVICE_NAME"}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_value_is_rejected_with_the_name_of_its_variable(name: str) -> None:
    for value in INVALID[name]:
        with pytest.raises(ImproperlyConfigured, match=f"^{name} "):
            settings_of(**{name: value})


@pytest.mark.parametrize("name", VALID)
def test_unusual_but_valid_values_are_accepted(name: str) -> None:
    for value in VALID[name]:
        settings_of(**{name: value})


def test_error_message_does_not_contain_secret_headers() -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        settings_of(OTEL_EXPORTER_OTLP_HEADERS="hunter2")
    assert "hunter2" not in str(raised.value)
