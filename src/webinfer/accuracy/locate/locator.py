"""The search for the first node of a model that a browser computes otherwise than native onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from webinfer.accuracy.comparison import Limits, compare, fault
from webinfer.accuracy.locate.excerpt import Arrays, Excerpts, attributes
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import BackendError, LostError, NotANumber, UnsupportedOperator, WebinferError
from webinfer.models.files.package import ModelPackage
from webinfer.models.graphs.outline import outline

Run = Callable[[Path, Arrays], Mapping[str, NDArray[Any]]]
"""Runs a model's file in the browser: returns its outputs by name, or raises what the browser said."""

_PROBES = 8  # values that one run gives out: each costs a transfer, and each run a session

_FAILURES = (BackendError, LostError, UnsupportedOperator, NotANumber)
"""How a browser fails at a graph, as opposed to how a caller fails at asking."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that two computations disagree on the most.

    Attributes:
        output: The output's name.
        index: Where in it.
        native: What native onnxruntime computes.
        browser: What the browser computes.
        wrong: How many values are beyond the limit.
        size: How many there are.
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
        difference: The worst value; ``None`` where the browser fails.
        excerpt: The smallest ONNX file that was found to show it.
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
    difference: Difference | None
    excerpt: Path
    excerpt_nodes: int
    inputs: Mapping[str, NDArray[Any]] = field(repr=False)
    outputs: Mapping[str, NDArray[Any]] = field(repr=False)
    runs: int


class Locator:
    """Finds the first wrong node by halving the graph: the nodes up to a point are run as a model of their own.

    The values at several points are compared in each run. What is wrong once is taken to be wrong from there on.

    Args:
        package: The model.
        inputs: A request that shows the fault, by input name.
        run: Runs a file in the browser.
        limits: How far values may be apart.
        folder: Where files are written.
    """

    def __init__(self, package: ModelPackage, inputs: Arrays, run: Run, limits: Limits, folder: Path) -> None:
        self._package = package
        self._inputs = inputs
        self._run = run
        self._limits = limits
        self._excerpts = Excerpts(package, folder)
        self._native: dict[str, NDArray[Any]] = {}  # values that native onnxruntime computed
        self._runs = 0

    def __repr__(self) -> str:
        return f"<Locator {self._package.name} runs={self._runs}>"

    def locate(self) -> Location | None:
        """Find the first wrong node.

        Returns:
            The place; ``None`` where every value of the graph is right.

        Raises:
            WebinferError: Native onnxruntime cannot run the model.
        """
        nodes = self._excerpts.nodes
        right, wrong = -1, len(nodes) - 1  # the values up to `right` are right, and one up to `wrong` is not
        if self._first_wrong([wrong]) is None and self._outputs_agree():
            return None
        while wrong - right > 1:
            points = self._points(right, wrong)
            found = self._first_wrong(points)
            if found is None:
                right = points[-1]
            elif found < 0:  # the browser failed, so nothing is known but that it fails somewhere up to the last point
                middle = points[len(points) // 2]
                if len(points) == 1 or self._first_wrong([middle]) is not None:
                    wrong = middle if len(points) > 1 else points[0]
                else:
                    right, wrong = middle, points[-1]
            else:
                wrong = points[found]
                right = points[found - 1] if found else right
        return self._describe(right, wrong)

    def _outputs_agree(self) -> bool:
        names = [output.name for output in self._package.signature.outputs]
        return self._fault(self._excerpts.behind(names), names) is None

    def _points(self, right: int, wrong: int) -> list[int]:
        count = min(_PROBES, wrong - right - 1)
        return sorted(
            {right + round((wrong - right) * (step + 1) / (count + 1)) for step in range(count)} - {right, wrong}
        )

    def _first_wrong(self, points: Sequence[int]) -> int | None:
        """Compare the values at some nodes.

        Returns:
            Which of the points is the first whose values are wrong; ``None`` for none, and -1 where the browser fails.
        """
        values = {point: self._values(point) for point in points}
        names = [name for point in points for name in values[point]]
        if not names:
            return None
        answers = self._answer(self._excerpts.behind(names), names, self._inputs)
        if isinstance(answers, WebinferError):
            return -1
        for at, point in enumerate(points):
            if fault(compare(answers, {name: self._native[name] for name in values[point]}), self._limits):
                return at
        return None

    def _values(self, number: int) -> list[str]:
        """Return the outputs of a node that are tensors, computed by native onnxruntime by now."""
        names = [name for name in self._excerpts.nodes[number].output if name]
        self._compute(names)
        return [
            name for name in names if isinstance(self._native[name], np.ndarray) and self._native[name].dtype != object
        ]

    def _compute(self, names: Sequence[str]) -> None:
        """Have native onnxruntime compute values, as the graph stands: rewriting it would lose their names."""
        missing = [name for name in names if name not in self._native and name not in self._inputs]
        if missing:
            graph = outline(self._package.model.path, self._package.model.sha256)
            session = NativeSession(self._package, graph=graph, extra_outputs=missing, optimize=False)
            self._native.update(session.run(self._inputs, missing))

    def _answer(
        self, nodes: Sequence[NodeProto], names: Sequence[str], inputs: Arrays
    ) -> Mapping[str, NDArray[Any]] | WebinferError:
        """Return what the browser answers to some nodes, or how it fails."""
        self._runs += 1
        wanted = {name: self._native[name] for name in names}
        path = self._excerpts.write(f"part-{self._runs}", nodes, inputs, wanted)
        try:
            return self._run(path, {name: inputs[name] for name in self._excerpts.needs(nodes)})
        except _FAILURES as error:
            return error
        finally:
            path.unlink()

    def _fault(self, nodes: Sequence[NodeProto], names: Sequence[str], inputs: Arrays | None = None) -> str | None:
        self._compute(names)
        answers = self._answer(nodes, names, self._inputs if inputs is None else inputs)
        if isinstance(answers, WebinferError):
            return str(answers)
        return fault(compare(answers, {name: self._native[name] for name in names}), self._limits)

    def _describe(self, right: int, wrong: int) -> Location:
        """Return the place, with the smallest model that still shows it: the node alone, or with some before it."""
        excerpts, node, names = self._excerpts, self._excerpts.nodes[wrong], self._values(wrong)
        start, count = right + 1, 1
        while True:
            nodes = excerpts.behind(names, start)
            needed = excerpts.needs(nodes)
            self._compute(needed)
            inputs = {name: self._inputs[name] if name in self._inputs else self._native[name] for name in needed}
            why = self._fault(nodes, names, inputs)
            if why is not None or start == 0:
                break
            count *= 2
            start = max(0, right + 1 - count)
        why = why or "it is wrong only together with the rest of the graph"
        wanted = {name: self._native[name] for name in names}
        path = excerpts.write(f"{self._package.name}-{node.op_type}".replace("/", "-"), nodes, inputs, wanted)
        answers = self._answer(nodes, names, inputs)
        different = None if isinstance(answers, WebinferError) else worst(answers, wanted, self._limits)
        return Location(
            node=node.name or f"#{wrong}",
            operator=node.op_type,
            domain=node.domain,
            attributes=attributes(node),
            number=wrong,
            nodes=len(excerpts.nodes),
            fault=why,
            difference=different,
            excerpt=path,
            excerpt_nodes=len(nodes),
            inputs=inputs,
            outputs=wanted,
            runs=self._runs,
        )


def worst(answers: Arrays, right: Arrays, limits: Limits) -> Difference | None:
    """Return the value that is off the most.

    Args:
        answers: What the browser computed.
        right: What is right.
        limits: Beyond which part of the largest value one counts as wrong.

    Returns:
        The value; ``None`` where shapes differ, or nothing does.
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
