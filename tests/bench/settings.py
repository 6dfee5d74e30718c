"""The settings of the service, with additional URLs for baselines."""

from project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
