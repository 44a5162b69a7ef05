"""Tasks are found by name, and their parameters are those of their answer."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

import webinfer
from webinfer import AsyncAccelerator, AsyncModel, AsyncPipeline
from webinfer.core.errors import OptionError
from webinfer.core.options import describe
from webinfer.pipelines import TASKS, pipeline_class
from webinfer.pipelines.base.texts import texts_of
from webinfer.pipelines.registry import ALIASES


class Sum(AsyncPipeline):
    """Adds."""

    task: ClassVar[str] = "sum"

    async def _answer(self, first: int, second: int = 0, /, *, times: int = 1) -> int:
        return (first + second) * times


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_its_name_a_description_and_described_parameters(name: str) -> None:
    kind = TASKS[name]
    assert kind.task == name
    assert kind.__doc__
    said = str(inspect.getdoc(kind._answer))
    parameters = [each for each in inspect.signature(kind._answer).parameters if each != "self"]
    assert [each for each in parameters if f"    {each}: " not in said] == []
    assert "Returns:" in said


@pytest.mark.parametrize("name", TASKS)
def test_no_task_has_a_parameter_that_is_an_option_of_the_accelerator(name: str) -> None:
    """``webinfer.pipeline`` takes both."""
    options = {option.name for option, _ in describe()} | {"model", "task", "precision", "fallback", "progress"}
    assert options & set(inspect.signature(TASKS[name]._answer).parameters) == set()


def test_aliases_lead_to_tasks() -> None:
    assert set(ALIASES.values()) <= set(TASKS)
    assert all(pipeline_class(alias) is TASKS[name] for alias, name in ALIASES.items())


async def test_parameters_of_construction_hold_until_a_call_gives_its_own() -> None:
    pipeline = Sum(times=2)
    assert await pipeline(1, 2) == 6
    assert await pipeline(1, 2, times=3) == 9
    assert await pipeline(1, 2) == 6


async def test_unknown_parameter_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean 'times'"):
        Sum(time=2)
    with pytest.raises(OptionError, match="Did you mean 'times'"):
        await Sum()(1, tims=3)


async def test_nothing_is_fetched_for_an_unknown_parameter() -> None:
    asked = []

    async def load(reference: str | Path, *, part: str | None = None, varying: Collection[str] = ()) -> AsyncModel:
        asked.append(reference)
        return cast("AsyncModel", None)

    with pytest.raises(OptionError, match="has no parameter 'nothing'"):
        await Sum.load("model", load, nothing=1)
    assert asked == []


def test_a_task_that_has_one_answer_does_not_stream() -> None:
    with pytest.raises(OptionError, match="cannot stream"):
        Sum().stream(1)


async def test_unknown_task_is_refused_with_the_nearest() -> None:
    accelerator = AsyncAccelerator()
    with pytest.raises(OptionError, match="Did you mean 'sentence-similarity'"):
        await accelerator.pipeline("sentence-similarty")
    with pytest.raises(OptionError, match=r"There are: .*feature-extraction"):
        webinfer.pipeline("zzz")


@pytest.mark.parametrize(
    ("inputs", "texts", "several"),
    [
        ("a", ["a"], False),
        (["a", "b"], ["a", "b"], True),
        (("a", "b"), [("a", "b")], False),
        ({"text": "a", "text_pair": "b"}, [("a", "b")], False),
        ([{"text": "a"}, ("b", "c")], ["a", ("b", "c")], True),
    ],
)
def test_one_text_is_told_from_several(inputs: Any, texts: list[Any], several: bool) -> None:
    assert texts_of(inputs, "task") == (texts, several)


@pytest.mark.parametrize("inputs", [3, None, ["a", 3], {"txt": "a"}, ("a", "b", "c")])
def test_what_is_no_text_is_refused(inputs: Any) -> None:
    with pytest.raises(webinfer.WebinferError, match="task takes a text"):
        texts_of(inputs, "task")
