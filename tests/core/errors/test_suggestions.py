"""The name that was meant is found among the known ones, and said in one way everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from webinfer import Options
from webinfer.compat.keywords import read
from webinfer.core.errors import OptionError, UnknownInput
from webinfer.core.errors.suggestions import nearest, suggestion
from webinfer.core.tensors import Signature, TensorSpec, prepare
from webinfer.pipelines.registry import pipeline_class


def test_nearest_names_come_first_and_strange_ones_not_at_all() -> None:
    known = ["chrome", "chromium", "firefox"]
    assert nearest("chrme", known, 3) == ["chrome", "chromium"]
    assert nearest("chrme", (name for name in known)) == ["chrome"]
    assert nearest("zzz", known) == []
    assert nearest(3, known) == []


def test_suggestion_is_a_sentence_or_what_is_said_otherwise() -> None:
    assert suggestion("laness", ["lanes"]) == "Did you mean 'lanes'?"
    assert suggestion("x", ["lanes"], "Known: lanes.") == "Known: lanes."
    assert suggestion("x", ["lanes"]) == ""


SIGNATURE = Signature((TensorSpec("input_ids", "int64", (1,)),), ())


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: Options.of(lane=2), r"Unknown option 'lane'\. Did you mean 'lanes'\?$"),
        (lambda: Options(browser="chrom"), r"not 'chrom'\. Did you mean 'chrome'\?$"),  # type: ignore[arg-type]  # wrong
        (lambda: Options(browser="zzz"), r"not 'zzz'\.$"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: pipeline_class("text-clasification"), r"Unknown task .*Did you mean 'text-classification'\?$"),
        (lambda: pipeline_class("zzz"), r"Unknown task 'zzz'\. There are: "),
        (lambda: read(max_connection=2), r"Unknown keyword 'max_connection'\. Did you mean 'max_connections'\?$"),
        (lambda: prepare(SIGNATURE, {"input_id": [1]}), r"no input 'input_id'\. Did you mean 'input_ids'\? It takes"),
        (lambda: prepare(SIGNATURE, {"zzz": [1]}), r"no input 'zzz'\. It takes input_ids"),
    ],
)
def test_errors_say_what_was_meant(work: Callable[[], object], said: str) -> None:
    with pytest.raises((OptionError, UnknownInput), match=said):
        work()
