"""Which runs a GPU may record, and what is said of those that it does not; see also ``browser/test_capture.py``."""

from __future__ import annotations

from typing import Any

import pytest

from webinfer.core.tensors import Signature, TensorSpec
from webinfer.inference.sessions.capture import GraphCapture
from webinfer.pool.plan.buckets import EXACT, Fit

OPEN = Signature((TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 4)),))
PADDED = Fit((("batch", 1),), (("batch", 1),))


def test_only_a_shape_without_open_sizes_is_recorded() -> None:
    capture = GraphCapture(OPEN, "webgpu", wanted=True)
    assert capture.fits(PADDED)
    assert not capture.fits(EXACT)


@pytest.mark.parametrize(("backend", "wanted"), [("wasm", True), ("webnn", True), ("webgpu", False)])
def test_nothing_is_recorded_elsewhere_or_unasked(backend: Any, wanted: bool) -> None:
    assert not GraphCapture(OPEN, backend, wanted).fits(PADDED)


def test_refusal_of_the_runtime_stops_recording_and_is_told() -> None:
    capture = GraphCapture(OPEN, "webgpu", wanted=True)
    assert capture.note("a node runs on the CPU", captured=True) == (
        "no graph was captured: the runtime refused it (a node runs on the CPU)",
    )
    assert not capture.open
    assert not capture.fits(PADDED)


@pytest.mark.parametrize(("outcome", "wanted"), [(True, True), (False, True), (None, False)])
def test_a_run_that_was_recorded_or_not_to_be_needs_no_note(outcome: Any, wanted: bool) -> None:
    assert GraphCapture(OPEN, "webgpu", wanted).note(outcome, captured=True) == ()


def test_first_reason_is_kept() -> None:
    capture = GraphCapture(OPEN, "webgpu", wanted=True)
    capture.stop("the model runs in stages")
    capture.stop("something else")
    assert capture.note(None, captured=False) == ("no graph was captured: the model runs in stages",)
