"""The operator's values, read from the environment here and nowhere else.

With nothing set the service runs on SQLite and in-process memory; see the README's table.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import dj_database_url
import django
import drf_spectacular_sidecar
import graphene_django_graphiql_static
import psycopg2
import rest_framework
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from psycopg2.extensions import make_dsn
from redis import ConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from deals_api.limits import Limits, whole_number
from deals_api.security.tokens import read_tokens
from project.build import build_digest

BASE_DIR = Path(__file__).resolve().parent.parent

# Django prefers psycopg 3 wherever it can be imported; the bulk load and the error codes are those of psycopg2. An
# import of ``None`` raises ImportError.
sys.modules["psycopg"] = None  # type: ignore[assignment]


def _values(name: str, pattern: str, meaning: str, separator: str = ",") -> list[str]:
    """The values of one variable.

    Raises: ValueError, naming the variable and what it may hold.
    """
    values = [value for value in map(str.strip, os.environ.get(name, "").split(separator)) if value]
    for value in values:
        if not re.fullmatch(pattern, value, re.IGNORECASE):
            raise ValueError(f"{name} must be {meaning}, not {value!r}")
    return values


# The service's own

try:
    DEALS_LIMITS = Limits.from_environment(os.environ)
    PORT = whole_number(os.environ, "PORT", least=1, most=65535, default=8000)
    WEB_WORKERS = whole_number(os.environ, "WEB_WORKERS", least=1, most=64, default=2)
    WEB_THREADS = whole_number(os.environ, "WEB_THREADS", least=1, most=64, default=8)
    GRAPHIQL = bool(whole_number(os.environ, "GRAPHIQL", least=0, most=1, default=1))
    SECURE = whole_number(os.environ, "SECURE", least=0, most=1, default=0)
    API_TOKENS = read_tokens(os.environ.get("API_TOKENS", ""))
    READ_REQUIRES_TOKEN = bool(whole_number(os.environ, "READ_REQUIRES_TOKEN", least=0, most=1, default=0))
    LOG_REQUESTS = bool(whole_number(os.environ, "LOG_REQUESTS", least=0, most=1, default=1))
    METRICS = bool(whole_number(os.environ, "METRICS", least=0, most=1, default=1))
    PROXIES = whole_number(os.environ, "PROXIES", least=0, most=10, default=0)
    _names = _values(
        "ALLOWED_HOSTS", r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-f:.]+\]", "host names without ports, separated by commas"
    )
    CORS_ALLOWED_ORIGINS = _values(
        "CORS_ORIGINS",
        r"null|file://|[a-z][a-z0-9+.-]*://([^/?#@\s\[\]]+|\[[0-9a-f:.]+\](:[0-9]+)?)",
        "origins such as https://example.com, separated by commas",
    )
    # OpenTelemetry's own variables. Its library reads them too, but only logs what is wrong with them.
    TRACES = bool(_values("OTEL_EXPORTER_OTLP_ENDPOINT", r"https?://[^/?#\s\[\]]+\S*", "an http or https URL", "\n"))
    if not all("=" in pair for pair in os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",") if pair.strip()):
        raise ValueError("OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs, separated by commas")
    _values("OTEL_TRACES_SAMPLER", "(parentbased_)?(always_on|always_off|traceidratio)", "a known sampler", "\n")
    _values("OTEL_TRACES_SAMPLER_ARG", r"0*(\.[0-9]+)?|0+\.|0*1(\.0*)?", "a number from 0 to 1", "\n")
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from None
if READ_REQUIRES_TOKEN and not API_TOKENS:
    raise ImproperlyConfigured("READ_REQUIRES_TOKEN needs API_TOKENS: nobody could read")
# An empty variable means the default there too.
for _name in (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
):  # fmt: skip
    if not os.environ.get(_name):
        os.environ.pop(_name, None)
DEALS_BUILD = build_digest(BASE_DIR)

# Django's

# ``serve`` hands its workers the key of the installation; a command that signs nothing may have any.
OPERATORS_SECRET_KEY = os.environ.get("SECRET_KEY", "")
SECRET_KEY = OPERATORS_SECRET_KEY or get_random_secret_key()
DEBUG = False
ALLOWED_HOSTS = [*(_names or "*")]
# Whoever watches the service from inside asks this very machine, by no public name.
ALLOWED_HOSTS += ["localhost", "127.0.0.1"]

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # its site is ``deals_api.admin.site``
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "strawberry_django",
    "deals_api",
    "project",
    "project.frontend",
    "graphql_schema",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "project.middleware.security_headers.content_security_policy",
    *([] if _names else ["project.middleware.security_headers.require_private_host"]),
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "project.middleware.admin_sessions.admin_session_middleware",
]
SILENCED_SYSTEM_CHECKS = [
    # A cookie carries somebody's authority in the admin only, and each of its views is ``csrf_protect``ed.
    "security.W003",
    # Sessions, users and messages are there, inside ``project.middleware.admin_sessions``.
    "admin.E408",
    "admin.E409",
    "admin.E410",
]
# Pages of other sites may use the service from a browser where CORS_ORIGINS names them.
CORS_ALLOW_HEADERS = ["authorization", "content-type", "if-none-match", "x-request-id"]
CORS_EXPOSE_HEADERS = ["Content-Disposition", "ETag", "Retry-After", "Server-Timing", "X-Request-ID"]
if CORS_ALLOWED_ORIGINS:
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(0, "corsheaders.middleware.CorsMiddleware")
MIDDLEWARE.insert(0, "project.telemetry.middleware.request_telemetry")
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
APPEND_SLASH = False  # each URL works with and without it, POST included
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

# What pages load: only what is named here, at addresses that are new with every build, to be kept for ever

_ADMIN = Path(django.__path__[0], "contrib", "admin", "static", "admin")
_DRF = Path(rest_framework.__path__[0], "static", "rest_framework")
_SIDECAR = Path(drf_spectacular_sidecar.__path__[0], "static", "drf_spectacular_sidecar")
STATIC_URL = f"static/{DEALS_BUILD}/"
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
STATICFILES_DIRS = [
    BASE_DIR / "graphql_schema" / "static",
    BASE_DIR / "project" / "frontend" / "static",
    *((f"admin/{kind}", _ADMIN / kind) for kind in ("css", "img", "js")),
    ("rest_framework/css", _DRF / "css"),
    ("rest_framework/img", _DRF / "img"),
    ("drf_spectacular_sidecar/swagger-ui-dist", _SIDECAR / "swagger-ui-dist"),
    ("graphiql", Path(graphene_django_graphiql_static.__path__[0], "static", "graphene_django_graphiql_static")),
]
# The image has them collected, with compressed ones beside them; elsewhere they are served from where they lie.
COLLECTED = BASE_DIR / "collected"
STATIC_ROOT = COLLECTED if COLLECTED.is_dir() else None
STORAGES = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"}}
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
WHITENOISE_IMMUTABLE_FILE_TEST = f"/{DEALS_BUILD}/"
WHITENOISE_ALLOW_ALL_ORIGINS = False

# Who may enter the admin

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# The cookies are the admin's alone: a browser shows them to no other address.
ADMIN_PATH = "/admin/"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = ADMIN_PATH
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# Where data live

#: What no mistake of ours and no broken cable may exceed; a load lifts the first one for its transaction.
POSTGRES_OPTIONS = {
    "options": "-c statement_timeout=60s -c lock_timeout=30s -c idle_in_transaction_session_timeout=60s",
    "connect_timeout": 5,
    # A database whose machine has vanished is noticed in 20 to 30 seconds.
    "keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}  # fmt: skip


def database(url: str) -> dict[str, Any]:
    """Django's entry for one ``DATABASE_URL``."""
    try:
        # Connections are kept, and each request that needs one first looks whether the database has restarted.
        entry: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=None, conn_health_checks=True))
    except (ValueError, dj_database_url.UnknownSchemeError) as wrong:
        raise ImproperlyConfigured(f"DATABASE_URL is not understood: {wrong}") from None
    if "%00" in url:
        raise ImproperlyConfigured("DATABASE_URL must not contain %00")
    options = entry.get("OPTIONS", {})
    if entry["ENGINE"].endswith("sqlite3"):
        if entry.get("HOST"):
            raise ImproperlyConfigured(
                "DATABASE_URL must be sqlite:////folder/file, with four slashes, or sqlite:///file"
            )
        if options.keys() - {"timeout"} or not isinstance(options.get("timeout", 0), int):
            raise ImproperlyConfigured("DATABASE_URL of SQLite has no options but ?timeout=, in seconds")
        entry["OPTIONS"] = {
            # Readers never wait for a writer; a writer waits its turn from the start, so it cannot deadlock.
            "init_command": "PRAGMA journal_mode=WAL",
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            **options,
        }
    elif entry["ENGINE"].endswith("postgresql"):
        if not (entry["NAME"] or options.get("service")):
            raise ImproperlyConfigured("DATABASE_URL must name a database: postgres://user:password@host:port/name")
        try:
            make_dsn(**options)
        except psycopg2.ProgrammingError as wrong:
            raise ImproperlyConfigured(f"DATABASE_URL is not understood: {wrong}") from None
        entry["OPTIONS"] = {**POSTGRES_OPTIONS, **options}
    else:
        raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:// or postgres://")
    return entry


DATABASES = {"default": database(os.environ.get("DATABASE_URL") or f"sqlite:///{BASE_DIR / 'deals.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def redis_cache(url: str) -> dict[str, Any]:
    """Django's entry for one ``REDIS_URL``."""
    try:
        ConnectionPool.from_url(url).make_connection()  # which does not connect yet
    except (ValueError, TypeError, RedisError) as wrong:
        raise ImproperlyConfigured(f"REDIS_URL is not understood: {wrong}") from None
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": {
            "SERIALIZER": "deals_api.caching.shared.BytesSerializer",
            "SOCKET_CONNECT_TIMEOUT": 0.1,
            "SOCKET_TIMEOUT": 0.1,
            # redis-py would try three more times, seconds apart.
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)},
        },
    }


# Without Redis there is no shared cache: ``deals_api.cache.local`` has every response that fits its bytes.
NO_SHARED_CACHE = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
CACHES = {"default": redis_cache(os.environ["REDIS_URL"]) if os.environ.get("REDIS_URL") else NO_SHARED_CACHE}

# What comes in

FILE_UPLOAD_HANDLERS = ["deals_api.rest.parsers.SingleFileUploadHandler"]
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_PARSER_CLASSES": ["deals_api.rest.parsers.StrictMultiPartParser"],
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
    "DESCRIPTION": "A deals.csv goes in; the clients who spent most come out. GraphQL over the same data: /graphql/.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SORT_OPERATIONS": False,  # as in urls.py: what is used most comes first
    "COMPONENT_SPLIT_REQUEST": True,  # a file that goes in is bytes, not the address of a file
    "POSTPROCESSING_HOOKS": ["deals_api.rest.openapi.add_components"],
    "SWAGGER_UI_DIST": "SIDECAR",  # from the wheel, so that nothing is loaded from elsewhere
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
}


def _briefly(record: logging.LogRecord) -> bool:
    """A request that Django refuses is a client's mistake: the sentence is enough, without its traceback."""
    if record.name.startswith("django.security."):
        record.exc_info = None
    return True


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"briefly": {"()": "django.utils.log.CallbackFilter", "callback": _briefly}},
    "formatters": {"line": {"()": "project.telemetry.logs.formatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["briefly"]}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": [], "level": "ERROR", "propagate": True},
        "deals_api": {"handlers": [], "level": "INFO", "propagate": True},
        "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
        # It warns of each HEAD, whose body Django leaves to the server to drop.
        "gunicorn.http.wsgi": {"level": "ERROR"},
    },
}

# Security, as ``check --deploy`` asks. TLS ends in front of the service, which says so by SECURE=1.
if SECURE:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_REDIRECT_EXEMPT = ["^health/"]  # asked from inside, where there is no TLS
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
