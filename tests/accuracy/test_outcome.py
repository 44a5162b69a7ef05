"""The outcome of a comparison, and where it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from webinfer.accuracy import outcome as accuracies
from webinfer.accuracy.comparison import Deviation, limits_for
from webinfer.accuracy.outcome import Accuracy, Measure, recall, remember


def test_measures_are_those_of_the_worst_output() -> None:
    first, second = Deviation(output="a", cosine=1.0, error=0.5), Deviation(output="b", cosine=0.2)
    deviations = (first, second, Deviation(output="c", equal=0.5))
    accuracy, limits = Accuracy(combination={}, deviations=deviations), limits_for("fp32")
    assert list(accuracy.measures(limits)) == [
        Measure("cosine", 0.2, limits.cosine, False),
        Measure("error", 0.5, limits.error, False),
        Measure("equal", 0.5, limits.equal, False),
    ]
    assert (accuracy.fault(limits) or "").startswith("a is off by 0.5")


def test_what_failed_in_the_browser_is_a_fault_and_what_failed_natively_is_not() -> None:
    broken = Accuracy(combination={}, reason="it died", broken=True)
    assert (broken.tried, broken.fault(limits_for("fp32"))) == (True, "it died")
    assert list(broken.measures(limits_for("fp32"))) == [Measure("broken", None, None, False)]
    untried = Accuracy(combination={}, reason="native onnxruntime refused it")
    assert (untried.tried, untried.fault(limits_for("fp32"))) == (False, None)


def test_an_outcome_is_kept_for_its_combination_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracies, "cache_dir", lambda: tmp_path)
    about = {"model": "abc", "backend": "webgpu"}
    kept = Accuracy(combination=about, deviations=(Deviation(output="y", cosine=0.5),), reference="1.2", seconds=1.0)
    remember(kept)
    assert recall(about) == kept
    assert recall({**about, "backend": "wasm"}) is None
    (file,) = (tmp_path / "accuracy").iterdir()
    file.write_text("{", encoding="utf-8")
    assert recall(about) is None
