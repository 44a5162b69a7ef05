"""The tree of errors: drawn as it is, one code each, and back from the wire as what it was."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

from webinfer.core import errors
from webinfer.core.errors import WebinferError, from_wire


def tree(cls: type[WebinferError], depth: int = 0) -> Iterator[tuple[int, type[WebinferError]]]:
    yield depth, cls
    for child in cls.__subclasses__():
        if child.__module__.startswith("webinfer."):
            yield from tree(child, depth + 1)


EVERY = [cls for _, cls in tree(WebinferError)]


def test_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^    ((?:[| ] {3})*)(?:[+]-- )?(\w+)(?: \((\w+)\))?", str(errors.__doc__), re.MULTILINE)
    lines = {(name, builtin) for _, name, builtin in drawn}
    builtins = {
        cls.__name__: next((base.__name__ for base in cls.__bases__ if not issubclass(base, WebinferError)), "")
        for cls in EVERY[1:]
    }
    assert lines == {("WebinferError", ""), *builtins.items()}
    depths = {name: len(bars) // 4 + 1 for bars, name, _ in drawn[1:]}
    assert depths == {cls.__name__: depth for depth, cls in tree(WebinferError) if depth}


def test_every_error_is_public_under_one_module() -> None:
    assert sorted(errors.__all__) == sorted([*(cls.__name__ for cls in EVERY), "from_wire"])
    assert len({cls.code for cls in EVERY}) == len(EVERY)


@pytest.mark.parametrize("cls", EVERY)
def test_error_comes_back_from_the_wire_as_what_it_was(cls: type[WebinferError]) -> None:
    sent = cls("It broke.", input="x", got=[1])
    told = sent.to_dict()
    read = from_wire(told["code"], told["message"], {**told["data"], "name": "TypeError", "stack": "at line 3"})
    assert type(read) is cls
    assert (str(read), read.retryable) == ("It broke.", sent.retryable)
    assert read.data == {"input": "x", "got": [1], "name": "TypeError", "stack": "at line 3"}


def test_unknown_code_is_a_failed_run() -> None:
    assert type(from_wire("of.tomorrow", "m", {})) is errors.RunFailed


def test_error_without_a_message_says_its_code() -> None:
    assert str(errors.QueueFull()) == "queue.full"


def test_error_is_pickled_with_its_message() -> None:
    assert str(pickle.loads(pickle.dumps(errors.LoadFailed("It broke.")))) == "It broke."
