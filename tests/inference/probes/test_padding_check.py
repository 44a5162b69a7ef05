"""Whether padding is exact, held over answers that are made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.modelfiles import Write, value
from webinfer.core.errors import LaneLost, PoolClosed, RunFailed
from webinfer.inference.probes.padding_check import Proof, prove
from webinfer.models.files.package import ModelPackage, describe
from webinfer.pool.plan.buckets import Fit

Answer = Callable[..., np.ndarray]
TABLE = np.random.default_rng(0).standard_normal((100, 1)).astype(np.float32)


@pytest.fixture
def points(write: Write) -> ModelPackage:
    shape = ("points", 4)
    return described(write(inputs=[value("x", shape=shape)], outputs=[value("y", shape=shape)]))


@pytest.fixture
def texts(write: Write) -> ModelPackage:
    inputs = [value(name, TensorProto.INT64, ("batch", "seq")) for name in ("input_ids", "attention_mask")]
    return described(write(inputs=inputs, outputs=[value("y", shape=("batch", 1))]))


def described(path: Path) -> ModelPackage:
    return describe(path, str(path))


async def rows(package: ModelPackage, answer: Answer) -> Proof:
    async def run(inputs: Any, bucket: Fit) -> Any:
        assert inputs["x"].shape[0] == dict(bucket.padded)["points"]
        return {"y": answer(inputs["x"])}

    return await prove(package, "rows", run)


async def tokens(package: ModelPackage, answer: Answer, longest: int | None = None) -> Proof:
    async def run(inputs: Any, bucket: Fit) -> Any:
        assert inputs["input_ids"].shape[1] == dict(bucket.padded)["seq"]
        return {"y": answer(TABLE[inputs["input_ids"]], inputs["attention_mask"][:, :, None].astype(np.float32))}

    return await prove(package, "tokens", run, longest)


async def test_rows_that_stay_the_same_may_be_padded(points: ModelPackage) -> None:
    assert await rows(points, lambda x: -x) == Proof({"y": (0,)})


@pytest.mark.parametrize(
    "answer",
    [lambda x: np.cumsum(x, 0), lambda x: x / x.max(), lambda x: x - x.max(0)],
    ids=["those before", "largest of all", "largest of a column"],
)
async def test_rows_that_see_others_and_not_their_repetition_may_be_padded(
    points: ModelPackage, answer: Answer
) -> None:
    assert await rows(points, answer) == Proof({"y": (0,)})


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: x - x.mean(0),
        lambda x: np.cumsum(x[::-1], 0)[::-1],
        lambda x: np.sort(x, 0),
        lambda x: x - np.median(x, 0),
        lambda x: x * len(x),
    ],
    ids=["mean", "those behind", "order", "median", "count"],
)
async def test_rows_that_see_those_added_are_not_padded(points: ModelPackage, answer: Answer) -> None:
    assert "from 3 to 4" in str((await rows(points, answer)).reason)


async def test_axes_are_those_that_become_longer_and_not_those_of_a_name(points: ModelPackage) -> None:
    assert (await rows(points, lambda x: np.stack([x, x]))).axes == {"y": (1,)}
    assert (await rows(points, lambda x: np.ones((4, 7), np.float32))).axes == {"y": ()}
    assert "shape" in str((await rows(points, lambda x: np.repeat(x, 2, 0))).reason)


async def test_text_whose_mask_hides_what_is_added_may_be_padded(texts: ModelPackage) -> None:
    assert await tokens(texts, lambda e, mask: (e * mask).sum(1) / mask.sum(1)) == Proof({"y": ()})
    assert await tokens(texts, lambda e, mask: np.where(mask, e, -9).max(1)) == Proof({"y": ()})
    assert await tokens(texts, lambda e, mask: (e * mask)[:, :, 0]) == Proof({"y": (1,)})


@pytest.mark.parametrize(
    "answer",
    [
        lambda e, mask: e.mean(1),
        lambda e, mask: (e * mask).mean(1),
        lambda e, mask: e.max(1),
        lambda e, mask: (e * mask).max(1),
        lambda e, mask: (e * mask)[:, -1],
        lambda e, mask: (e * mask).sum(1) / mask.shape[1],
    ],
    ids=["mean", "masked mean", "maximum", "masked maximum", "last", "length"],
)
async def test_text_that_sees_what_is_added_is_not_padded(texts: ModelPackage, answer: Answer) -> None:
    assert (await tokens(texts, answer)).reason is not None


async def test_other_tokens_show_what_zeros_do_not(texts: ModelPackage) -> None:
    seen = await tokens(texts, lambda e, mask: np.where(e == TABLE[0], -9, e).max(1))
    assert "hides" in str(seen.reason)


async def test_model_of_few_positions_is_tried_with_fewer_tokens(texts: ModelPackage) -> None:
    assert (await tokens(texts, lambda e, mask: e.mean(1), longest=2)).reason is not None
    assert (await tokens(texts, lambda e, mask: (e * mask).sum(1), longest=2)).reason is None
    assert "short" in str((await tokens(texts, lambda e, mask: e.mean(1), longest=1)).reason)


@pytest.mark.parametrize("strange", [np.nan, np.inf])
async def test_answers_that_are_no_numbers_show_nothing(points: ModelPackage, strange: float) -> None:
    assert "cannot show" in str((await rows(points, lambda x: np.full_like(x, strange))).reason)


async def test_failure_is_no_proof_and_lasts_where_it_is_the_models_own(points: ModelPackage) -> None:
    def fail(error: Exception) -> Answer:
        def answer(x: np.ndarray) -> np.ndarray:
            raise error

        return answer

    mine, lost = await rows(points, fail(RunFailed("no"))), await rows(points, fail(LaneLost("gone")))
    assert (mine.reason, mine.lasting) == ("it could not be tried: no", True)
    assert (lost.reason, lost.lasting) == ("it could not be tried: gone", False)
    with pytest.raises(PoolClosed):
        await rows(points, fail(PoolClosed("closed")))
