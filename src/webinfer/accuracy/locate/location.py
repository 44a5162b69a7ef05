"""A place where a model goes wrong, with the value that is off the most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.comparison import Limits
from webinfer.accuracy.locate.excerpt import Arrays


@dataclass(frozen=True, slots=True)
class Difference:
    """The value that the browser and native onnxruntime disagree on the most.

    Attributes:
        output: The output's name.
        index: Where it is in that output.
        native: What native onnxruntime computes.
        browser: What the browser computes.
        wrong: How many values of the output are beyond the limit.
        size: How many values the output has.
    """

    output: str
    index: tuple[int, ...]
    native: float
    browser: float
    wrong: int
    size: int


@dataclass(frozen=True, slots=True)
class Location:
    """Where a model goes wrong.

    Attributes:
        node: Name of the first wrong node, or its number.
        operator: Its operator.
        domain: The operator's domain; empty for ONNX's own.
        attributes: Its attributes.
        number: Its place in the graph, from 0.
        nodes: How many nodes the graph has.
        fault: What is wrong with its output: how far it is off, or how the browser fails.
        limit: Part of an output's largest value beyond which a value counts as wrong.
        difference: The worst value; ``None`` where the browser fails.
        excerpt: The smallest ONNX file among those tried that shows it, with its weights inside.
        excerpt_nodes: The nodes in that file.
        inputs: Inputs of that file that show it.
        outputs: What native onnxruntime answers to them.
        runs: Runs in the browser that the search took.
    """

    node: str
    operator: str
    domain: str
    attributes: Mapping[str, Any]
    number: int
    nodes: int
    fault: str
    limit: float
    difference: Difference | None
    excerpt: Path
    excerpt_nodes: int
    inputs: Mapping[str, NDArray[Any]] = field(repr=False)
    outputs: Mapping[str, NDArray[Any]] = field(repr=False)
    runs: int


def worst(answers: Arrays, right: Arrays, limits: Limits) -> Difference | None:
    """Return the value that is off the most, in the first output that has a wrong one.

    Args:
        answers: What the browser computed.
        right: What is right.
        limits: A value is wrong if it is off by more than ``limits.error`` times the largest right value.

    Returns:
        The value; ``None`` where no value is wrong, or shapes differ.
    """
    for name, native in right.items():
        answer = answers.get(name)
        if answer is None or answer.shape != native.shape or not native.size:
            continue
        with np.errstate(all="ignore"):
            off = np.abs(answer.astype(np.float64) - native.astype(np.float64))
        off = np.where(np.isnan(off), np.inf, off)
        scale = float(np.max(np.abs(native.astype(np.float64)), initial=0.0)) or 1.0
        wrong = int((off > limits.error * scale).sum())
        if wrong:
            index = tuple(int(at) for at in np.unravel_index(int(off.argmax()), off.shape))
            return Difference(name, index, float(native[index]), float(answer[index]), wrong, native.size)
    return None
