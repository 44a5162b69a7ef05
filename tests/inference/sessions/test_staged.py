"""What the loads of stages come to together; see also ``browser/test_sharded.py``."""

from __future__ import annotations

from typing import Any

from webinfer.core.placement import LaneId, Placement
from webinfer.inference.sessions.staged import join_loads
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey

KEY = SessionKey("m", "wasm", "fp32")


def load(browser: int, seconds: float, placement: Placement | None) -> SessionLoaded:
    return SessionLoaded(
        LaneId(f"b{browser}", 1), KEY, nbytes=10, seconds=seconds, fetch=0.5, create=0.25, placement=placement
    )


def placed(nodes: dict[Any, int], fallen: dict[str, int]) -> Placement:
    return Placement(backend="wasm", nodes=nodes, fallen=fallen, copies=1, graphs=1)


def test_one_load_stays_as_it_is() -> None:
    event = load(1, 1.0, None)
    assert join_loads([event]) is event


def test_times_and_sizes_add_up_and_the_slowest_stage_counts() -> None:
    first, second = placed({"wasm": 3}, {}), placed({"wasm": 2, "webgpu": 1}, {"Add": 1})
    joined = join_loads([load(1, 1.0, first), load(2, 2.0, second)])
    assert (joined.nbytes, joined.fetch, joined.create, joined.seconds) == (20, 1.0, 0.5, 2.0)
    assert str(joined.lane) == "b1.1"
    assert joined.placement == Placement(
        backend="wasm", nodes={"wasm": 5, "webgpu": 1}, fallen={"Add": 1}, copies=2, graphs=2
    )


def test_placement_is_unknown_where_one_stage_does_not_tell() -> None:
    assert join_loads([load(1, 1.0, placed({"wasm": 3}, {})), load(2, 1.0, None)]).placement is None
