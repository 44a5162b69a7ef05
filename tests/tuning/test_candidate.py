"""Candidates: the combinations of what is allowed, once each, and why some of them are left out."""

from __future__ import annotations

import pytest

from webinfer.core.errors import OptionError
from webinfer.tuning.candidate import Candidate, Space, sort_out, thread_obstacle


def test_candidates_are_all_combinations_in_order_of_preference() -> None:
    space = Space(browsers=("embedded", "firefox"), backends=("wasm", "webgpu"), precisions=("fp32", "int8"))
    assert [str(candidate) for candidate in space.combinations()] == [
        f"{backend} in {browser}, {precision}"
        for browser in ("embedded", "firefox")
        for precision in ("fp32", "int8")
        for backend in ("wasm", "webgpu")
    ]


def test_threads_are_varied_on_webassembly_alone() -> None:
    space = Space(browsers=("embedded",), backends=("webnn", "wasm"), threads=(1, None, 2))
    assert [(each.backend, each.threads) for each in space.combinations()] == [
        ("webnn", None),
        ("wasm", 1),
        ("wasm", None),
        ("wasm", 2),
    ]


def test_workgroups_are_varied_on_webgpu_alone() -> None:
    space = Space(browsers=("embedded",), backends=("webgpu", "wasm"), workgroups=("64x1x1",))
    assert [(each.backend, each.workgroup) for each in space.combinations()] == [
        ("webgpu", None),
        ("webgpu", "64x1x1"),
        ("wasm", None),
    ]


def test_infeasible_candidates_are_left_out_with_the_first_reason() -> None:
    space = Space(browsers=("embedded",), backends=("wasm",), threads=(1, 4), precisions=("fp32", "fp16"))
    able, reasons = sort_out(
        space.combinations(),
        (thread_obstacle(2), lambda candidate: "no fp16" if candidate.precision == "fp16" else None),
    )
    assert [(each.precision, each.threads) for each in able] == [("fp32", 1)]
    assert {(each.precision, each.threads): reason for each, reason in reasons.items()} == {
        ("fp32", 4): "4 threads are more than the machine's 2 cores",
        ("fp16", 1): "no fp16",
        ("fp16", 4): "4 threads are more than the machine's 2 cores",
    }


def test_candidate_names_only_what_is_special() -> None:
    plain = Candidate(browser="firefox", backend="wasm", precision="int8")
    assert str(plain) == "wasm in firefox, int8"
    special = Candidate(
        browser="embedded",
        backend="webgpu",
        precision="fp16",
        lanes=2,
        threads=1,
        batch_size=8,
        workgroup="64x1x1",
    )
    assert str(special) == "webgpu in embedded, fp16, 2 lanes, 1 thread, batches of 8, workgroups of 64x1x1"
    assert special.demand == 16


@pytest.mark.parametrize("wrong", [{"lanes": 10**6}, {"threads": 0}, {"batch_size": 10**9}])
def test_candidate_that_no_machine_can_run_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="must be from 1 to"):
        Candidate(browser="embedded", backend="wasm", precision="fp32", **wrong)  # type: ignore[arg-type]  # as read


@pytest.mark.parametrize("wrong", [{"lanes": ()}, {"lanes": (0,)}, {"batch_sizes": (-1,)}, {"backends": ("cuda",)}])
def test_space_refuses_what_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Space(browsers=("embedded",), **wrong)  # type: ignore[arg-type]  # wrong on purpose
