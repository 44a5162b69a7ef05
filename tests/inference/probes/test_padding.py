"""What is padded of a model, once its padding was tried; see also ``browser/test_padding.py``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.modelfiles import Write, value
from webinfer.core.errors import PoolClosed
from webinfer.inference.probes.padding import Padding
from webinfer.models.files.package import describe
from webinfer.pool.plan.buckets import EXACT, Fit

LANE: Any = SimpleNamespace(id="lane")
LATER: Any = SimpleNamespace(id="later")


class Browser:
    """Answers as a model does, and counts."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.runs = 0
        self.released: list[Fit] = []
        self.later: Any = answer  # on the engine that comes later
        self.elsewhere: Any = None  # where all is answered, whatever was asked for

    async def run(self, inputs: Any, bucket: Fit, at: Any) -> Any:
        self.runs += 1
        await asyncio.sleep(0)
        lane = self.elsewhere or at or LANE
        return {"y": (self.later if lane is LATER else self.answer)(inputs["x"])}, (lane,)

    def padding(self, path: Path, *, up: bool = True) -> Padding:
        lane: Any = LANE if up else None
        return Padding(
            describe(path, str(path)),
            self.run,
            lambda: lane,
            lambda lanes: {"model": path.name, "lane": str(lanes[0].id)},
            self.released.append,
            lambda: None,
        )


@pytest.fixture
def path(write: Write, own_cache: Path) -> Path:
    return write(inputs=[value("x", shape=("n", 4))], outputs=[value("y", shape=("n", 4))])


def points(count: int) -> dict[str, np.ndarray]:
    return {"x": np.ones((count, 4), np.float32)}


async def settled(padding: Padding, tensors: dict[str, np.ndarray]) -> Fit:
    await padding.prove(padding.fit(tensors, gains=True).unproven)
    return padding.fit(tensors, gains=True)


async def test_nothing_is_padded_before_it_is_proven_and_it_is_proven_once(path: Path) -> None:
    browser = Browser(lambda x: -x)
    padding = browser.padding(path)
    assert padding.fit(points(4), gains=True).unproven == ()
    wanted = padding.fit(points(3), gains=True)
    assert (wanted.padded, wanted.unproven) == ((), ("rows",))
    await asyncio.gather(*(padding.prove(wanted.unproven) for _ in range(5)))
    first = browser.runs
    bucket = padding.fit(points(3), gains=True)
    assert (dict(bucket.padded), dict(bucket.cuts)) == ({"n": 4}, {"y": ((0, "n"),)})
    assert (await settled(browser.padding(path), points(3))) == bucket  # kept in the cache
    assert (await settled(browser.padding(path, up=False), points(3))) == bucket  # no lane tells which combination
    assert browser.runs == 2 * first


async def test_what_is_not_exact_keeps_its_shape_and_says_why(path: Path) -> None:
    browser = Browser(lambda x: x - x.mean(0))
    bucket = await settled(browser.padding(path), points(3))
    assert (dict(bucket.padded), bucket.exact, bucket.is_bucket) == ({"n": 3}, True, False)
    assert bucket.notes[0].startswith("rows are not padded: padded from 3 to 4, it answers otherwise: y is off by")
    assert [dict(shape.padded) for shape in browser.released] == [{"n": 3}]
    assert (await settled(browser.padding(path), points(3))).notes == bucket.notes


async def test_only_warm_shapes_are_padded_to_where_padding_gains_nothing(path: Path) -> None:
    padding = Browser(lambda x: -x).padding(path)
    assert padding.fit(points(3), gains=False).exact
    padding.note_warm(padding.fit(points(4), gains=False))
    assert padding.fit(points(3), gains=False).unproven == ("rows",)
    assert padding.fit(points(5), gains=False).exact


async def test_answer_that_shows_otherwise_ends_padding(path: Path) -> None:
    padding = Browser(lambda x: -x).padding(path)
    bucket = await settled(padding, points(3))
    padding.refuse(bucket, "output 'y' has another size")
    again = padding.fit(points(3), gains=True)
    assert again.exact
    assert "another size" in again.notes[0]


async def test_evidence_that_cannot_be_read_is_found_out_again(path: Path, own_cache: Path) -> None:
    browser = Browser(lambda x: -x)
    await settled(browser.padding(path), points(3))
    first = browser.runs
    for kept in (own_cache / "accuracy").iterdir():
        kept.write_text(kept.read_text().replace('"axes"', '"angles"'))
    assert not (await settled(browser.padding(path), points(3))).notes
    assert browser.runs == 2 * first


async def test_callers_hear_that_the_model_was_closed_and_may_try_again(path: Path) -> None:
    def closed(x: np.ndarray) -> np.ndarray:
        raise PoolClosed("closed")

    browser = Browser(closed)
    padding = browser.padding(path)
    with pytest.raises(PoolClosed):
        await padding.prove(["rows"])
    browser.answer = lambda x: -x
    assert not (await settled(padding, points(3))).exact
    assert EXACT.exact


async def test_engine_that_comes_later_proves_padding_for_itself_and_once(path: Path) -> None:
    browser = Browser(lambda x: -x)
    padding = browser.padding(path)
    bucket = await settled(padding, points(3))
    first = browser.runs
    assert await padding.obstacle(bucket, (LANE,)) is None
    assert browser.runs == first
    assert await asyncio.gather(*(padding.obstacle(bucket, (LATER,)) for _ in range(5))) == [None] * 5
    assert browser.runs == 2 * first
    again = browser.padding(path)
    assert await settled(again, points(3)) == bucket
    assert await again.obstacle(bucket, (LATER,)) is None
    assert browser.runs == 2 * first  # both are kept in the cache


async def test_padding_that_a_later_engine_gets_wrong_says_so(path: Path) -> None:
    browser = Browser(lambda x: -x)
    browser.later = lambda x: x - x.mean(0)
    padding = browser.padding(path)
    bucket = await settled(padding, points(3))
    reason = await padding.obstacle(bucket, (LATER,))
    assert reason is not None
    assert "padded from 3 to 4, it answers otherwise" in reason


async def test_answers_of_another_engine_prove_nothing_of_a_later_one(path: Path) -> None:
    browser = Browser(lambda x: -x)
    padding = browser.padding(path)
    bucket = await settled(padding, points(3))
    browser.elsewhere = LANE
    assert await padding.obstacle(bucket, (LATER,)) == "it could not be tried in this browser"
    browser.elsewhere = None
    assert await padding.obstacle(bucket, (LATER,)) is None
