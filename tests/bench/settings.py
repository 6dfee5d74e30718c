"""The service's settings, and one more URL: the baseline."""

from project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
