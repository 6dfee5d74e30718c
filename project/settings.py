"""The operator's values, read from the environment here and nowhere else.

With nothing set the service runs on SQLite and in-process memory; see the README's table.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from redis.backoff import NoBackoff
from redis.retry import Retry

from deals_api.limits import Limits, whole_number
from project.build import build_digest

BASE_DIR = Path(__file__).resolve().parent.parent

# The service's own

try:
    DEALS_LIMITS = Limits.from_environment(os.environ)
    PORT = whole_number(os.environ, "PORT", least=1, most=65535, default=8000)
    WEB_WORKERS = whole_number(os.environ, "WEB_WORKERS", least=1, most=64, default=2)
    WEB_THREADS = whole_number(os.environ, "WEB_THREADS", least=1, most=64, default=8)
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from None
DEALS_BUILD = build_digest(BASE_DIR)

# Django's

# ``serve`` hands its workers the key of the installation; a command that signs nothing may have any.
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "*").split(",")

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # its site is ``deals_api.admin.site``
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "strawberry_django",
    "deals_api",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "project.sessions.for_the_admin",
]
SILENCED_SYSTEM_CHECKS = [
    # A cookie carries somebody's authority in the admin only, and each of its views is ``csrf_protect``ed.
    "security.W003",
    # Sessions, users and messages are there, inside ``project.sessions``.
    "admin.E408", "admin.E409", "admin.E410",
]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
APPEND_SLASH = False  # each URL works with and without it, POST included
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
DATETIME_FORMAT = "Y-m-d H:i:s"

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
STATIC_URL = "static/"

# Who may enter the admin

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator", "MinimumLengthValidator",
        "CommonPasswordValidator", "NumericPasswordValidator",
    )
]
# The cookies are the admin's alone: a browser shows them to no other address.
ADMIN_PATH = "/admin/"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = ADMIN_PATH
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# Where data live


def database(url: str) -> dict[str, Any]:
    """Django's entry for one ``DATABASE_URL``."""
    try:
        entry: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=None))
    except (ValueError, dj_database_url.UnknownSchemeError) as wrong:
        raise ImproperlyConfigured(f"DATABASE_URL is not understood: {wrong}") from None
    if entry["ENGINE"].endswith("sqlite3"):
        entry["OPTIONS"] = {
            # Readers never wait for a writer; a writer waits its turn from the start, so it cannot deadlock.
            "init_command": "PRAGMA journal_mode=WAL",
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            **entry.get("OPTIONS", {}),
        }
    elif not entry["ENGINE"].endswith("postgresql"):
        raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:// or postgres://")
    return entry


DATABASES = {"default": database(os.environ.get("DATABASE_URL") or f"sqlite:///{BASE_DIR / 'deals.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"



def redis_cache(url: str) -> dict[str, Any]:
    """Django's entry for one ``REDIS_URL``."""
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": {
            "SERIALIZER": "deals_api.cache.PlainBytes",
            "SOCKET_CONNECT_TIMEOUT": 0.1,
            "SOCKET_TIMEOUT": 0.1,
            # redis-py would try three more times, seconds apart.
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)},
        },
    }


LOCAL_MEMORY = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 1000}}
CACHES = {"default": redis_cache(os.environ["REDIS_URL"]) if os.environ.get("REDIS_URL") else LOCAL_MEMORY}

# What comes in

FILE_UPLOAD_HANDLERS = ["deals_api.uploads.OneFileHandler"]
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_PARSER_CLASSES": ["deals_api.uploads.WholeMultiPartParser"],
    "DEFAULT_RENDERER_CLASSES": ["deals_api.serializers.ExactJSONRenderer"],
    "EXCEPTION_HANDLER": "deals_api.exception_handler.refuse",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django": {"handlers": [], "level": "ERROR", "propagate": True}},
}

# Security, as ``check --deploy`` asks. TLS ends in front of the service, which says so by SECURE=1.
if os.environ.get("SECURE") == "1":
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
