"""What an entry of the ``random:`` table is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from webinfer.models.zoo.formats.graph import Graph
from webinfer.models.zoo.formats.weights import Weights, random_weights


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model without training.

    Attributes:
        config: Its config.json, as transformers has it.
        graphs: Takes the configuration; returns the graphs by the names of their files, without ``.onnx``.
        companions: Other JSON files that belong to it, by name, such as ``preprocessor_config.json``.
        weights: Takes a seed; returns the weights.
    """

    config: Mapping[str, Any]
    graphs: Callable[[Mapping[str, Any]], Mapping[str, Graph]]
    companions: Mapping[str, Any] = field(default_factory=dict)
    weights: Callable[[int], Weights] = random_weights
