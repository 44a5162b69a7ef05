"""What a survey tries: ONNX's own tests of its operators, the runtime's operators, and sweeps over attributes."""

from __future__ import annotations

from webinfer.accuracy.atlas.trials.contrib import contrib_trials
from webinfer.accuracy.atlas.trials.node_tests import node_trials
from webinfer.accuracy.atlas.trials.sweeps import sweep_trials
from webinfer.accuracy.atlas.trials.trial import OperatorTrial

__all__ = ["OperatorTrial", "all_trials"]


def all_trials() -> list[OperatorTrial]:
    """Return every trial: sweeps and the runtime's operators first, then ONNX's own tests. It takes seconds."""
    trials = [*sweep_trials(), *contrib_trials(), *node_trials()]
    return list({trial.name: trial for trial in trials}.values())
