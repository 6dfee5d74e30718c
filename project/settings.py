"""Settings. Only this module reads the environment.

By default the service uses SQLite and an in-process cache; see the table in project/README.md.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn

import dj_database_url
import django
import drf_spectacular_sidecar
import graphene_django_graphiql_static
import psycopg2
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from psycopg2.extensions import make_dsn

from deals_api.limits import Limits, whole_number
from deals_api.security.tokens import read_tokens
from deals_api.webhook_signature import read_secret
from graphql_schema.persisted_documents import read_persisted_documents
from project import __version__
from project.build import build_digest

BASE_DIR = Path(__file__).resolve().parent.parent

# Django prefers psycopg 3 if it can be imported, but the bulk load and the error codes require psycopg2. Importing a
# module whose entry is None raises ImportError.
sys.modules["psycopg"] = None  # type: ignore[assignment]


class _NoLibrary:
    """A path that cannot be opened."""

    def __fspath__(self) -> NoReturn:
        raise ImproperlyConfigured("GDAL is not used")


# strawberry-django imports GeoDjango, which would start 72 processes to find GDAL; a path replaces the search.
GDAL_LIBRARY_PATH = _NoLibrary()


def _values(name: str, pattern: str, expected: str, separator: str = ",") -> list[str]:
    """Return the values of an environment variable.

    Raises: ValueError with the name of the variable and the expected values.
    """
    values = [value for value in map(str.strip, os.environ.get(name, "").split(separator)) if value]
    for value in values:
        if not re.fullmatch(pattern, value, re.IGNORECASE):
            raise ValueError(f"{name} must be {expected}, not {value!r}")
    return values


def _ip_address(name: str, default: str) -> str:
    """Return the IP address in an environment variable.

    Raises: ValueError with the name of the variable.
    """
    text = os.environ.get(name, "").strip() or default
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"{name} must be an IP address, not {text!r}") from None


def _folder(name: str) -> str:
    """Return the folder in an environment variable; empty if it is not set."""
    folder = os.environ.get(name, "")
    if folder and not Path(folder).is_dir():
        raise ImproperlyConfigured(f"{name} must be a folder, not {folder!r}")
    return folder


# Settings of the service

try:
    DEALS_LIMITS = Limits.from_environment(os.environ)
    BIND = _ip_address("BIND", "0.0.0.0")  # noqa: S104
    PORT = whole_number(os.environ, "PORT", minimum=1, maximum=65535, default=8000)
    WEB_WORKERS = whole_number(os.environ, "WEB_WORKERS", minimum=1, maximum=64, default=2)
    WEB_THREADS = whole_number(os.environ, "WEB_THREADS", minimum=1, maximum=64, default=8)
    GRAPHIQL = bool(whole_number(os.environ, "GRAPHIQL", minimum=0, maximum=1, default=1))
    _documents_file = os.environ.get("PERSISTED_DOCUMENTS", "").strip()
    # Also the operations of the web page, which has to work.
    PERSISTED_DOCUMENTS = (
        read_persisted_documents(_documents_file, BASE_DIR / "project/frontend/static/frontend/operations.js")
        if _documents_file
        else None
    )
    SECURE = whole_number(os.environ, "SECURE", minimum=0, maximum=1, default=0)
    API_TOKENS = read_tokens(os.environ.get("API_TOKENS", ""))
    READ_REQUIRES_TOKEN = bool(whole_number(os.environ, "READ_REQUIRES_TOKEN", minimum=0, maximum=1, default=0))
    LOG_REQUESTS = bool(whole_number(os.environ, "LOG_REQUESTS", minimum=0, maximum=1, default=1))
    METRICS = bool(whole_number(os.environ, "METRICS", minimum=0, maximum=1, default=1))
    PROXIES = whole_number(os.environ, "PROXIES", minimum=0, maximum=10, default=0)
    # Everything is below this path (``/deals``); empty for the root. No value contains the separator.
    BASE_PATH = "".join(
        _values(
            "BASE_PATH",
            r"/|(?!/(health|metrics)(/|$))(/(?!\.{1,2}(/|$))(?a:[\w.~-])+)+/?",
            "a path of letters, digits, '.', '_', '~' and '-', such as /deals, and not below /health or /metrics",
            "\0",
        )
    ).rstrip("/")
    _host_names = _values(
        "ALLOWED_HOSTS", r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-f:.]+\]", "host names without ports, separated by commas"
    )
    CORS_ALLOWED_ORIGINS = _values(
        "CORS_ORIGINS",
        r"null|file://|[a-z][a-z0-9+.-]*://([^/?#@\s\[\]]+|\[[0-9a-f:.]+\](:[0-9]+)?)",
        "origins such as https://example.com, separated by commas",
    )
    WEBHOOK_URL = "".join(_values("WEBHOOK_URL", r"https?://[^/?#\s\[\]]+\S*", "an http or https URL", "\n"))
    WEBHOOK_SECRET = read_secret(os.environ.get("WEBHOOK_SECRET", "").strip())
    # The OpenTelemetry SDK reads these variables itself, but only logs invalid values.
    TRACES = bool(_values("OTEL_EXPORTER_OTLP_ENDPOINT", r"https?://[^/?#\s\[\]]+\S*", "an http or https URL", "\n"))
    if not all("=" in pair for pair in os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",") if pair.strip()):
        raise ValueError("OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs, separated by commas")
    _values("OTEL_TRACES_SAMPLER", "(parentbased_)?(always_on|always_off|traceidratio)", "a known sampler", "\n")
    _values("OTEL_TRACES_SAMPLER_ARG", r"0*(\.[0-9]+)?|0+\.|0*1(\.0*)?", "a number from 0 to 1", "\n")
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from None
# Files of asynchronous uploads wait here for a worker; without it, uploads are synchronous.
UPLOADS_DIR = _folder("UPLOADS_DIR")
# GraphiQL sends arbitrary documents.
GRAPHIQL = GRAPHIQL and PERSISTED_DOCUMENTS is None
if READ_REQUIRES_TOKEN and not API_TOKENS:
    raise ImproperlyConfigured("READ_REQUIRES_TOKEN requires API_TOKENS; without tokens, no client could read")
if WEBHOOK_URL and not WEBHOOK_SECRET:
    raise ImproperlyConfigured("WEBHOOK_URL requires WEBHOOK_SECRET, which signs the messages")
# Empty variables mean the default, for the OpenTelemetry SDK too.
for _name in (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
):  # fmt: skip
    if not os.environ.get(_name):
        os.environ.pop(_name, None)
DEALS_BUILD = build_digest(BASE_DIR)

# Settings of Django

# Without SECRET_KEY, ``serve`` uses the key in the database; other commands sign nothing, so they use a random key.
CONFIGURED_SECRET_KEY = os.environ.get("SECRET_KEY", "")
SECRET_KEY = CONFIGURED_SECRET_KEY or get_random_secret_key()
DEBUG = False
ALLOWED_HOSTS = [*(_host_names or "*")]
# For health checks inside the container.
ALLOWED_HOSTS += ["localhost", "127.0.0.1"]

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # the site is ``deals_api.admin.model_admins.site``
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "strawberry_django",
    "deals_api",  # before django_tasks_db, whose command db_worker it extends
    "django_tasks",
    "django_tasks_db",
    "project",
    "project.frontend",
    "graphql_schema",
]
#: Pattern of the paths of health checks and metrics, inside and outside of the base path.
MONITORING_PATH = rf"/({re.escape(BASE_PATH[1:])}/)?(health/(live|ready)|metrics)/?\Z"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "project.middleware.security_headers.content_security_policy",
    f"project.middleware.hosts.{'accept_addresses_for_monitoring' if _host_names else 'require_private_host'}",
    "project.middleware.static_files.StaticFilesMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "project.middleware.admin_sessions.admin_session_middleware",
]
SILENCED_SYSTEM_CHECKS = [
    # Only the admin authenticates by cookie, and each of its views is ``csrf_protect``ed.
    "security.W003",
    # ``project.middleware.admin_sessions`` wraps the middleware for sessions, users and messages.
    "admin.E408",
    "admin.E409",
    "admin.E410",
]
CORS_ALLOW_METHODS = ["DELETE", "GET", "HEAD", "POST"]
CORS_ALLOW_HEADERS = [
    "authorization", "content-type", "if-match", "if-none-match", "prefer", "x-request-id",
    # Apollo Client
    "apollo-require-preflight", "apollographql-client-name", "apollographql-client-version", "x-apollo-operation-id",
    "x-apollo-operation-name",
    # Trace context and baggage of the W3C
    "baggage", "traceparent", "tracestate",
]  # fmt: skip
CORS_EXPOSE_HEADERS = [
    "Content-Disposition", "ETag", "Location", "Preference-Applied", "Retry-After", "Server-Timing", "X-Request-ID"
]  # fmt: skip
if CORS_ALLOWED_ORIGINS:
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(0, "corsheaders.middleware.CorsMiddleware")
MIDDLEWARE.insert(0, "project.telemetry.middleware.request_telemetry")
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
APPEND_SLASH = False  # each URL works with and without the slash, for POST too
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Static files: only those listed here; their URLs change with every build, so they are cached forever

_ADMIN = Path(django.__path__[0], "contrib", "admin", "static", "admin")
_SIDECAR = Path(drf_spectacular_sidecar.__path__[0], "static", "drf_spectacular_sidecar")
STATIC_URL = f"{BASE_PATH}/static/{DEALS_BUILD}/"
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
STATICFILES_DIRS = [
    BASE_DIR / "deals_api" / "static",
    BASE_DIR / "graphql_schema" / "static",
    BASE_DIR / "project" / "frontend" / "static",
    *((f"admin/{kind}", _ADMIN / kind) for kind in ("css", "img", "js")),
    ("drf_spectacular_sidecar/swagger-ui-dist", _SIDECAR / "swagger-ui-dist"),
    ("graphiql", Path(graphene_django_graphiql_static.__path__[0], "static", "graphene_django_graphiql_static")),
]
# The image contains collected and compressed files; otherwise the finders serve them from their packages, and
# ``StaticFilesMiddleware`` compresses them.
COLLECTED = BASE_DIR / "collected"
STATIC_ROOT = COLLECTED if COLLECTED.is_dir() else None
# ``serve`` copies the collected files to this folder, from which a proxy serves them.
STATIC_FILES_DIR = _folder("STATIC_FILES_DIR")
STORAGES = {
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
    "uploads": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": UPLOADS_DIR or BASE_DIR / "uploads", "file_permissions_mode": 0o600},
    },
}
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
WHITENOISE_IMMUTABLE_FILE_TEST = f"/{DEALS_BUILD}/"
WHITENOISE_ALLOW_ALL_ORIGINS = False

# Users of the admin

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Cookies are sent to the admin only.
ADMIN_PATH = f"{BASE_PATH}/admin/"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = ADMIN_PATH
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# Database

#: Parameters of libpq. None of them is sent to the server, because PgBouncer rejects unknown startup parameters.
POSTGRES_OPTIONS = {
    # Of several hosts, use the primary: a standby may lack the last uploads.
    "target_session_attrs": "read-write",
    "connect_timeout": 5,
    # Detect within 20 to 30 seconds that the database host is unreachable.
    "keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}  # fmt: skip
#: The service repeats a read on the primary if a replica fails, so it waits for replicas as briefly as libpq allows.
REPLICA_OPTIONS = {**POSTGRES_OPTIONS, "target_session_attrs": "any", "connect_timeout": 2}


def database(url: str) -> dict[str, Any]:
    """Return the entry of DATABASES for a ``DATABASE_URL``."""
    entry = _parse_database_url("DATABASE_URL", url)
    options = entry.get("OPTIONS", {})
    if entry["ENGINE"].endswith("sqlite3"):
        if entry.get("HOST"):
            raise ImproperlyConfigured(
                "DATABASE_URL must be sqlite:////folder/file, with four slashes, or sqlite:///file"
            )
        if options.keys() - {"timeout"} or not isinstance(options.get("timeout", 0), int):
            raise ImproperlyConfigured("DATABASE_URL accepts only the option ?timeout=, in seconds, for SQLite")
        entry["OPTIONS"] = {
            # WAL: readers never wait for a writer. IMMEDIATE: writers queue at BEGIN, so they cannot deadlock.
            "init_command": "PRAGMA journal_mode=WAL",
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            **options,
        }
    elif entry["ENGINE"].endswith("postgresql"):
        _complete_postgres_entry("DATABASE_URL", entry, POSTGRES_OPTIONS)
        if entry["OPTIONS"]["target_session_attrs"] not in ("read-write", "primary"):
            raise ImproperlyConfigured("DATABASE_URL must have target_session_attrs=read-write, which is the default")
    else:
        raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:// or postgres://")
    return entry


def replica_databases(urls: str) -> dict[str, dict[str, Any]]:
    """Return the entries of DATABASES for ``DATABASE_REPLICA_URLS``, separated by commas or whitespace.

    A comma within a URL separates its hosts.
    """
    variable, entries = "DATABASE_REPLICA_URLS", {}
    for number, url in enumerate(filter(None, re.split(r"[\s,]+(?=\w+://)|[\s,]+\Z", urls.strip())), start=1):
        entry = _parse_database_url(variable, url)
        if not all(each["ENGINE"].endswith("postgresql") for each in (entry, DATABASES["default"])):
            raise ImproperlyConfigured(f"{variable} and DATABASE_URL must begin with postgres://")
        if re.search(r"\s|//.*/[^?]*,", url):
            raise ImproperlyConfigured(f"{variable} must be URLs, separated by commas or whitespace")
        _complete_postgres_entry(variable, entry, REPLICA_OPTIONS)
        entries[f"replica{number}"] = entry | {"TEST": {"MIRROR": "default"}}
    return entries


def _complete_postgres_entry(variable: str, entry: dict[str, Any], defaults: dict[str, Any]) -> None:
    options = entry.get("OPTIONS", {})
    if not (entry["NAME"] or options.get("service")):
        raise ImproperlyConfigured(f"{variable} must name a database: postgres://user:password@host:port/name")
    try:
        make_dsn(**options)
    except psycopg2.ProgrammingError as error:
        raise ImproperlyConfigured(f"{variable} is invalid: {error}") from None
    entry["ENGINE"] = "deals_api.postgresql"
    entry["OPTIONS"] = {**defaults, **options}


def _parse_database_url(variable: str, url: str) -> dict[str, Any]:
    """Return the entry of DATABASES for a URL in an environment variable, without the defaults of the service."""
    try:
        entry = _parse_hosts(url)
    except (ValueError, dj_database_url.UnknownSchemeError) as error:
        raise ImproperlyConfigured(f"{variable} is invalid: {error}") from None
    if "%00" in url:
        raise ImproperlyConfigured(f"{variable} must not contain %00")
    return entry


def _parse_hosts(url: str) -> dict[str, Any]:
    """Parse a URL with one host, or with several of PostgreSQL: ``host1:5432,host2``.

    Raises: ValueError, UnknownSchemeError.
    """
    # Scheme and password, hosts, path and parameters.
    [(before, hosts, after)] = re.findall(r"\A((?:\w+://)?(?:[^/?#]*@)?)([^/?#]*)(.*)\Z", url, re.DOTALL)
    entries: list[dict[str, Any]] = [
        dict(
            dj_database_url.parse(
                before + host + after,
                # Persistent connections, checked once per request, because the database may have restarted.
                conn_max_age=None,
                conn_health_checks=True,
                # They would outlive a transaction; see ``deals_api.postgresql``.
                disable_server_side_cursors=True,
            )
        )
        for host in hosts.split(",")
    ]
    entry = entries[0]
    if len(entries) > 1:
        if not all(each.get("HOST") for each in entries):
            raise ValueError("one of several hosts has no name")
        entry["HOST"], entry["PORT"] = (",".join(str(each[name]) for each in entries) for name in ("HOST", "PORT"))
    return entry


DATABASES = {"default": database(os.environ.get("DATABASE_URL") or f"sqlite:///{BASE_DIR / 'deals.sqlite3'}")}
DATABASES |= replica_databases(os.environ.get("DATABASE_REPLICA_URLS", ""))
REPLICAS = [alias for alias in DATABASES if alias != "default"]
if REPLICAS:
    DATABASE_ROUTERS = ["deals_api.snapshots.replicas.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def redis_cache(url: str) -> dict[str, Any]:
    """Return the entry of CACHES for a ``REDIS_URL``."""
    # Imported only where Redis is used, because the package imports asyncio and OpenTelemetry.
    from redis import ConnectionPool, RedisError
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        ConnectionPool.from_url(url).make_connection()  # validates the URL without connecting
    except (ValueError, TypeError, RedisError) as error:
        raise ImproperlyConfigured(f"REDIS_URL is invalid: {error}") from None
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": {
            "SERIALIZER": "deals_api.caching.shared.BytesSerializer",
            "SOCKET_CONNECT_TIMEOUT": 0.1,
            "SOCKET_TIMEOUT": 0.1,
            # By default, redis-py retries three times with delays of seconds.
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)},
        },
    }


TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

# Without Redis there is no shared cache: ``deals_api.caching.local`` caches the responses of each process.
NO_SHARED_CACHE = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
CACHES = {"default": redis_cache(os.environ["REDIS_URL"]) if os.environ.get("REDIS_URL") else NO_SHARED_CACHE}

# Requests

FILE_UPLOAD_HANDLERS = ["deals_api.rest.parsers.SingleFileUploadHandler"]
# A storage in the same folder moves the files of asynchronous uploads instead of copying them.
FILE_UPLOAD_TEMP_DIR = UPLOADS_DIR or None
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_PARSER_CLASSES": ["deals_api.rest.parsers.StrictMultiPartParser", "deals_api.rest.parsers.CSVParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "deals_api.rest.renderers.ExactJSONRenderer",
        "deals_api.rest.renderers.DealsBrowsableAPIRenderer",
    ],
    "DEFAULT_SCHEMA_CLASS": "deals_api.rest.openapi.DealsAutoSchema",
    "EXCEPTION_HANDLER": "deals_api.rest.exception_handler.handle_exception",
    "URL_FORMAT_OVERRIDE": None,  # ``?format=`` is validated with the other parameters
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Deals in gems",
    "DESCRIPTION": (
        f"Upload a deals.csv file and list the top clients. GraphQL over the same data: {BASE_PATH}/graphql/."
    ),
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    # The server URL contains the base path, the paths of the operations do not.
    "SERVERS": [{"url": BASE_PATH}] if BASE_PATH else [],
    "SCHEMA_PATH_PREFIX": re.escape(f"{BASE_PATH}/api"),
    "SCHEMA_PATH_PREFIX_TRIM": True,
    "SCHEMA_PATH_PREFIX_INSERT": "/api",
    "SORT_OPERATIONS": False,  # the order of urls.py, most used first
    "COMPONENT_SPLIT_REQUEST": True,  # describes an uploaded file as bytes instead of a URL
    "POSTPROCESSING_HOOKS": ["deals_api.rest.openapi.add_components", "deals_api.rest.openapi.sort_methods"],
    "SWAGGER_UI_DIST": "SIDECAR",  # the installed package instead of a CDN
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "validatorUrl": None,
        "defaultModelsExpandDepth": 0,  # the schemas are below the operations, collapsed
    },
    "TAGS": [
        {"name": "deals", "description": "The file of deals and the ranking of clients"},
        {"name": "exports", "description": "Downloads of any retained upload"},
    ],
}


def _drop_client_traceback(record: logging.LogRecord) -> bool:
    """Drop the tracebacks of rejected requests, which are client errors."""
    if record.name.startswith("django.security."):
        record.exc_info = None
    return True


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"client_errors": {"()": "django.utils.log.CallbackFilter", "callback": _drop_client_traceback}},
    "formatters": {"line": {"()": "project.telemetry.logs.formatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["client_errors"]}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": [], "level": "ERROR", "propagate": True},
        "deals_api": {"handlers": [], "level": "INFO", "propagate": True},
        "django_tasks_db": {"handlers": [], "level": "INFO", "propagate": True},
        "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
        # Without its warning about every response to HEAD: Django expects the server to drop the body.
        "gunicorn.http.wsgi": {"level": "ERROR"},
    },
}

# HTTPS, as ``check --deploy`` requires. SECURE=1 means that a proxy in front of the service terminates TLS.
if SECURE:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    # Monitoring addresses the containers themselves, by plain HTTP.
    SECURE_REDIRECT_EXEMPT = [f"^{MONITORING_PATH[1:]}"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
