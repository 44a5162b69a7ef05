"""What an entry of the ``random:`` table is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from webinfer.models.zoo.formats.graph import Graph
from webinfer.models.zoo.formats.weights import Weights, random_weights

Graphs = Callable[[Mapping[str, Any]], Mapping[str, Graph]]
"""Takes a configuration; returns the graphs by the names of their files, without ``.onnx``."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model without training.

    Attributes:
        config: Its config.json, as transformers has it.
        graphs: Makes the graphs from the configuration.
        companions: Other JSON files that belong to it, by name, such as ``preprocessor_config.json``.
        weights: Takes a seed; returns the weights.
    """

    config: Mapping[str, Any]
    graphs: Graphs
    companions: Mapping[str, Any] = field(default_factory=dict)
    weights: Callable[[int], Weights] = random_weights


def one_file(build: Callable[[Mapping[str, Any]], Graph]) -> Graphs:
    """Return what makes the graphs of a model that is one file, ``model.onnx``.

    Args:
        build: Makes the graph from the configuration.
    """
    return lambda config: {"model": build(config)}
