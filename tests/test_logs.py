"""Logs as JSON are one object per line, whatever is in the message."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from webinfer.errors import LaneLost
from webinfer.logs import log_json


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    logger, stream = logging.getLogger("webinfer"), io.StringIO()
    level = logger.level
    handler = log_json("INFO", stream)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_each_record_is_one_line_with_its_extras(stream: io.StringIO) -> None:
    log = logging.getLogger("webinfer.pool")
    log.info('lane %s\nis "lost"', "b1.1", extra={"lane": "b1.1", "odd": {1}})
    log.debug("not this one")
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("INFO", "webinfer.pool", 'lane b1.1\nis "lost"')
    assert (told["lane"], told["odd"]) == ("b1.1", "{1}")
    assert told["time"].endswith("+00:00")


def test_error_tells_its_code_and_stack(stream: io.StringIO) -> None:
    try:
        raise LaneLost("gone")
    except LaneLost:
        logging.getLogger("webinfer.tasks").exception("a task failed")
    error = json.loads(stream.getvalue())["error"]
    assert (error["type"], error["message"], error["code"]) == ("LaneLost", "gone", LaneLost.code)
    assert "Traceback" in error["stack"]
