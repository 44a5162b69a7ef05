"""Every exception that webinfer raises, by the name that people import them from."""

from webinfer.core.errors import *  # noqa: F403  # this module is a name for that one
