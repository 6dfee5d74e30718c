"""The service's settings, and one more URL: the yardstick."""

from project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
