"""Whether padding is exact, held over answers that are made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.modelfiles import Write, value
from webinfer.accuracy.bounded.reference import Canary
from webinfer.accuracy.samples.short_texts import short_texts
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


async def tokens(
    package: ModelPackage, answer: Answer, longest: int | None = None, natively: Answer | None = None
) -> Proof:
    return (await tokens_in_shapes(package, answer, longest, natively))[0]


async def tokens_in_shapes(
    package: ModelPackage, answer: Answer, longest: int | None = None, natively: Answer | None = None
) -> tuple[Proof, list[int]]:
    """Return the proof, and the lengths that ran in the browser."""
    lengths: list[int] = []

    async def run(inputs: Any, bucket: Fit) -> Any:
        assert inputs["input_ids"].shape[1] == dict(bucket.padded)["seq"]
        lengths.append(inputs["input_ids"].shape[1])
        return text_answer(answer, inputs)

    texts = [Canary(text, text_answer(natively, text)) for text in short_texts(package)] if natively else []
    return await prove(package, "tokens", run, longest, texts), lengths


def text_answer(answer: Answer, inputs: Any) -> Any:
    return {"y": answer(TABLE[inputs["input_ids"]], inputs["attention_mask"][:, :, None].astype(np.float32))}


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


@pytest.mark.parametrize("is_known", [False, True], ids=["exact runs", "native answers"])
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
async def test_text_that_sees_what_is_added_is_not_padded(texts: ModelPackage, answer: Answer, is_known: bool) -> None:
    assert (await tokens(texts, answer, natively=answer if is_known else None)).reason is not None


@pytest.mark.parametrize("is_known", [False, True], ids=["exact runs", "native answers"])
async def test_other_tokens_show_what_zeros_do_not(texts: ModelPackage, is_known: bool) -> None:
    def answer(e: Any, mask: Any) -> Any:
        return np.where(e == TABLE[0], -9, e).max(1)

    assert "hides" in str((await tokens(texts, answer, natively=answer if is_known else None)).reason)


@pytest.mark.parametrize(("shape", "axes"), [("vector", ()), ("sequence", (1,))])
async def test_native_answers_take_the_place_of_exact_runs(texts: ModelPackage, shape: str, axes: Any) -> None:
    def answer(e: Any, mask: Any) -> Any:
        return (e * mask).sum(1) if shape == "vector" else (e * mask)[:, :, 0]

    exact, lengths = await tokens_in_shapes(texts, answer)
    assert (exact, set(lengths)) == (Proof({"y": axes}), {2, 16})
    proof, lengths = await tokens_in_shapes(texts, answer, natively=lambda e, mask: answer(e, mask) * (1 + 1e-5))
    assert (proof, set(lengths)) == (Proof({"y": axes}), {16})
    assert len(lengths) == 2 * len(short_texts(texts))


@pytest.mark.parametrize("natively", [lambda e, mask: (e * mask).sum(1) * 1.1, lambda e, mask: np.zeros(3, np.float32)])
async def test_native_answers_that_are_others_decide_nothing(texts: ModelPackage, natively: Answer) -> None:
    proof, lengths = await tokens_in_shapes(texts, lambda e, mask: (e * mask).sum(1), natively=natively)
    assert (proof, set(lengths)) == (Proof({"y": ()}), {2, 16})


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
