"""What a survey tries: ONNX's own tests, the runtime's operators and sweeps, each of which native onnxruntime takes."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from webinfer.accuracy.atlas.trials import all_trials
from webinfer.accuracy.atlas.trials.contrib import contrib_trials
from webinfer.accuracy.atlas.trials.sweeps import sweep_trials
from webinfer.accuracy.atlas.trials.trial import OperatorTrial

MISSING = 0.15  # of our own trials, what native onnxruntime may lack a kernel for


@pytest.fixture(scope="module")
def trials() -> list[OperatorTrial]:
    return all_trials()


def test_every_trial_has_a_name_and_facts_of_its_own(trials: list[OperatorTrial]) -> None:
    assert len({trial.name for trial in trials}) == len(trials) > 3000
    assert sum(trial.name.startswith("test_") and not trial.name.endswith("_held") for trial in trials) > 1700
    cases = [trial.case() for trial in trials]
    assert all(case.facts.operator for case in cases)
    assert len({case.key for case in cases}) == len(cases)


def test_a_test_comes_once_more_with_constants(trials: list[OperatorTrial]) -> None:
    by_name = {trial.name: trial for trial in trials}
    plain, held = by_name["test_gather_0"].case(), by_name["test_gather_0_held"].case()
    assert (plain.facts.traits["inputs"], held.facts.traits["inputs"]) == ("dd", "dc")


def test_every_tensor_comes_as_an_array(trials: list[OperatorTrial]) -> None:
    values = [
        (trial.name, value) for trial in trials for value in (*trial.inputs.values(), *(trial.expected or {}).values())
    ]
    assert not [name for name, value in values if isinstance(value, TensorProto)]


def test_random_operators_are_left_out(trials: list[OperatorTrial]) -> None:
    assert not [trial.name for trial in trials if "bernoulli" in trial.name or "training_dropout" in trial.name]


def test_native_onnxruntime_takes_our_own_trials() -> None:
    ours, refused = [*sweep_trials(), *contrib_trials()], []
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    for trial in ours[::4]:
        try:
            session = onnxruntime.InferenceSession(trial.model.SerializeToString(), options)
            session.run(None, dict(trial.inputs))
        except Exception:  # its exceptions have no public base
            refused.append(trial.name)
    assert len(refused) < MISSING * len(ours) / 4, refused


def test_sweeps_are_the_same_each_time() -> None:
    first, second = next(iter(sweep_trials())), next(iter(sweep_trials()))
    np.testing.assert_array_equal(first.inputs["x"], second.inputs["x"])
