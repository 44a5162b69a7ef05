"""Calls that cannot be meant are refused with a typed error, and the accelerator goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from webinfer import Accelerator, AsyncAccelerator, Model
from webinfer.core.errors import DtypeMismatch, OptionError, WebinferError, WrongLoop

pytestmark = pytest.mark.browser

MINILM = "wheel:all-MiniLM-L6-v2"
CALLS: dict[str, tuple[Callable[[Accelerator, Model], object], type[WebinferError], str]] = {
    "zero timeout": (lambda _, model: model.run("a", timeout=0), OptionError, "timeout must be above 0"),
    "negative timeout": (lambda _, model: model.run("a", timeout=-1), OptionError, "timeout must be above 0"),
    "timeout of text": (lambda _, model: model.run("a", timeout=_any("1")), OptionError, "a finite number, not '1'"),
    "no sentences": (lambda _, model: model.embed(_any(None)), DtypeMismatch, "None is NoneType"),
    "sentences of numbers": (lambda _, model: model.embed(_any([1])), DtypeMismatch, "1 is int"),
    "sentences of bytes": (lambda _, model: model.embed(_any(b"x")), DtypeMismatch, "is int"),
    "no model": (lambda accelerator, _: accelerator.load(_any(None)), OptionError, "not by None"),
    "empty name": (lambda accelerator, _: accelerator.load(""), OptionError, "not by ''"),
    "unknown platform": (
        lambda accelerator, _: accelerator.load(MINILM, platform=_any("cuda")),
        OptionError,
        "platform must be one of auto, webgpu, webnn, wasm, not 'cuda'",
    ),
}


def _any(value: object) -> Any:
    return value


@pytest.fixture
def model(embedded: Accelerator) -> Model:
    return embedded.load(MINILM, platform="wasm")


@pytest.mark.parametrize("call", CALLS)
def test_call_that_cannot_be_meant_is_refused(call: str, embedded: Accelerator, model: Model) -> None:
    ask, error, message = CALLS[call]
    lanes = [lane.id for lane in embedded.snapshot().browsers[0].lanes]
    with pytest.raises(error) as caught:
        ask(embedded, model)
    assert message in str(caught.value)
    assert [lane.id for lane in embedded.snapshot().browsers[0].lanes] == lanes  # none was ended for it


def test_another_loop_is_refused_at_once() -> None:
    async def cross() -> None:
        async with AsyncAccelerator(browser="embedded", platform="wasm") as accelerator:
            model = await accelerator.load(MINILM)

            def elsewhere() -> None:
                with pytest.raises(WrongLoop, match="Another event loop"):
                    asyncio.run(model.run("a"))

            await asyncio.to_thread(elsewhere)
            assert np.isfinite((await model.run("a")).outputs["last_hidden_state"]).all()

    asyncio.run(cross())
