"""The public names: sorted, documented, the same in both faces, of the version that the changelog tells of."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import webinfer
from webinfer import Accelerator, AsyncAccelerator, AsyncModel, AsyncPipeline, Model, Pipeline

ROOT = Path(__file__).parent.parent
FACES = [(AsyncAccelerator, Accelerator), (AsyncModel, Model), (AsyncPipeline, Pipeline)]
PAIRS = {
    "AsyncAccelerator": "Accelerator",
    "AsyncModel": "Model",
    "AsyncPipeline": "Pipeline",
    "AsyncIterator": "Iterator",
}


def public(cls: type, kind: Any) -> dict[str, Any]:
    """Return the public members of a kind, inherited ones included."""
    members = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    return {name: value for name, value in members.items() if isinstance(value, kind) and not name.startswith("_")}


def functions(cls: type) -> dict[str, Any]:
    return public(cls, type(functions))


def signature(function: Any) -> str:
    """Write a signature down as the synchronous face has it."""
    text = str(inspect.signature(function))
    for name, other in PAIRS.items():
        text = text.replace(name, other)
    return text


def test_public_names_are_sorted_and_there() -> None:
    assert webinfer.__all__ == sorted(webinfer.__all__)
    assert all(hasattr(webinfer, name) for name in webinfer.__all__)


def test_help_tells_all_on_both_faces() -> None:
    for face in (face for faces in FACES for face in faces):
        for function in functions(face).values():
            told = inspect.getdoc(function) or ""
            assert told
            assert not told.startswith(("As ``", "Return what ``"))


def test_importing_the_package_imports_nothing_heavy_until_a_name_is_used() -> None:
    script = (
        "import sys, webinfer; dir(webinfer); heavy = {'numpy', 'aiohttp', 'onnx', 'tokenizers', 'asyncio'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "webinfer.Options; assert 'aiohttp' not in sys.modules;"
        "from webinfer import *; assert Accelerator.__module__ == 'webinfer.api.sync.accelerator';"
        "assert not {'duckdb', 'prometheus_client', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = webinfer.Nothing


@pytest.mark.parametrize("name", [name for name in webinfer.__all__ if not name.startswith("__")])
def test_public_name_and_its_members_have_docstrings(name: str) -> None:
    value = getattr(webinfer, name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return
    # A dataclass without a docstring gets its signature for one.
    assert value.__doc__, f"{name} has no docstring"
    assert not value.__doc__.startswith(f"{name}("), f"{name} has no docstring of its own"
    if inspect.isclass(value):
        members = functions(value) | public(value, property) | public(value, classmethod)
        assert [member for member in members if not inspect.getdoc(getattr(value, member))] == []


@pytest.mark.parametrize(("asynchronous", "synchronous"), FACES)
def test_both_faces_have_the_same_methods(asynchronous: type, synchronous: type) -> None:
    assert sorted(functions(asynchronous)) == sorted(functions(synchronous))
    assert set(public(asynchronous, property)) <= set(public(synchronous, property))


@pytest.mark.parametrize(("asynchronous", "synchronous"), FACES)
def test_both_faces_have_the_same_signatures(asynchronous: type, synchronous: type) -> None:
    ours = {name: signature(function) for name, function in functions(asynchronous).items()}
    assert ours == {name: signature(function) for name, function in functions(synchronous).items()}


def test_both_accelerators_are_made_alike() -> None:
    assert signature(AsyncAccelerator.__init__) == signature(Accelerator.__init__)


@pytest.mark.parametrize("cls", [Accelerator, Model])
def test_synchronous_methods_return_no_coroutines(cls: type) -> None:
    assert [name for name, function in functions(cls).items() if inspect.iscoroutinefunction(function)] == []


@pytest.mark.parametrize("work", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_drives_browsers_is_neither_pickled_nor_copied(work: Callable[[Any], Any]) -> None:
    kinds = (Accelerator, AsyncAccelerator, Model, webinfer.AsyncModel, webinfer.Pipeline, webinfer.AsyncPipeline)
    for kind in kinds:
        with pytest.raises(TypeError, match=f"{kind.__name__} is bound to .* make an accelerator in each"):
            work(object.__new__(kind))


def test_version_is_the_newest_of_the_changelog() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == declared == webinfer.__version__


def test_modules_that_people_import_from_are_there() -> None:
    import webinfer.core.errors
    import webinfer.errors
    import webinfer.logs

    assert webinfer.errors.WebinferError is webinfer.core.errors.WebinferError
    assert webinfer.errors.InputError is webinfer.core.errors.InputError
    assert webinfer.logs.log_json.__doc__
