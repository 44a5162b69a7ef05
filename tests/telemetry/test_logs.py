"""Logs as JSON are one object per line, whatever is in the message."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from webinfer.core.errors import LaneLost
from webinfer.telemetry.logs import JsonFormatter, log_json


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
    assert (told["lane"], told["odd"]) == ("b1.1", [1])
    assert told["time"].endswith("+00:00")


class Mute:
    """Cannot be told."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def never(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


RING: list[Any] = []
RING.append(RING)


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        pytest.param({"figure": float("nan")}, {"figure": None}, id="not a number"),
        pytest.param({"by": {("a", 1): 2}}, {"by": {"('a', 1)": 2}}, id="key that is a tuple"),
        pytest.param({"file": "a\udcff", "ä\ud800": 1}, {"file": "a?", "ä?": 1}, id="half a character"),
        pytest.param({"ring": RING}, {"ring": "[[...]]"}, id="holds itself"),
        pytest.param({"mute": Mute(), "number": 10**5000}, {"mute": "<Mute>", "number": "<int>"}, id="cannot be told"),
        pytest.param({"text": "ä🙂\u2028\x85"}, {"text": "ä🙂\u2028\x85"}, id="separators of lines"),
    ],
)
def test_line_is_json_in_any_encoding_whatever_came_as_extra(
    extra: dict[str, Any], told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("webinfer"), "propagate", False)  # pytest's workers pass on no such text
    written = io.BytesIO()
    log = logging.getLogger("webinfer.odd")
    handler = log_json("INFO", io.TextIOWrapper(written, "ascii", write_through=True))
    try:
        log.info("odd \ud800", extra=extra)
    finally:
        logging.getLogger("webinfer").removeHandler(handler)
    (line,) = written.getvalue().decode().splitlines()
    found = json.loads(line, parse_constant=never)
    assert {name: found[name] for name in told} == told
    assert found["message"] == "odd ?"


def test_arguments_that_do_not_fit_are_told_beside_their_message() -> None:
    records = (logging.LogRecord("webinfer", 20, "", 1, "%d", args, None) for args in (("x",), (Mute(),)))
    assert [json.loads(JsonFormatter().format(each))["message"] for each in records] == ["%d ('x',)", "%d <tuple>"]


def test_error_tells_its_code_and_stack(stream: io.StringIO) -> None:
    try:
        raise LaneLost("gone")
    except LaneLost:
        logging.getLogger("webinfer.tasks").exception("a task failed")
    error = json.loads(stream.getvalue())["error"]
    assert (error["type"], error["message"], error["code"]) == ("LaneLost", "gone", LaneLost.code)
    assert "Traceback" in error["stack"]
