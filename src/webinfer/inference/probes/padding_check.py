"""Whether a model answers the same to padded requests as to exact ones, tried in the browser.

Names of dimensions and an attention mask only suggest it. Rows of some models see each other, as in attention over
them. A convolution, a bi-LSTM or a mean over tokens sees the positions that a mask should hide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.bounded.reference import Canary
from webinfer.accuracy.comparison import compare, fault, limits_for
from webinfer.accuracy.samples.maker import SampleMaker, lengths
from webinfer.accuracy.samples.short_texts import LENGTH, short_texts
from webinfer.core.errors import (
    InputError,
    LoadFailed,
    PoolClosed,
    QueueFull,
    RunFailed,
    RuntimeDied,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan.buckets import KINDS, Axes, Fit, Kind, fit, pad, trim

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays, Fit], Awaitable[Arrays]]
"""Runs inputs that have the sizes of a bucket, and returns outputs as the browser gives them."""

_LASTING = (InputError, LoadFailed, RunFailed, RuntimeDied, UnsupportedOperator)
"""Failures that are the model's and its backend's own, and will be the next time; others may have passed by then."""

_ROWS = (0, 3, 1)  # seeds of three rows, of scales 1, 4 and 2: they are padded to four
_TOKENS = (LENGTH, 11)  # lengths that are padded to 16; the second one where the model does not take the first
_STRANGER = 10  # what is added to a seed for the tokens that stand in hidden positions
_SHORT = "no request could be made up that is short enough to be padded"


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether one kind of padding is exact.

    Attributes:
        axes: The axes of each output that it makes longer.
        reason: Why it is not exact; ``None`` where it is.
        lasting: Whether that will be so the next time.
    """

    axes: Axes = field(default_factory=dict)
    reason: str | None = None
    lasting: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"axes": {name: list(axes) for name, axes in self.axes.items()}, "reason": self.reason}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Proof:
        """Return what ``to_dict`` wrote.

        Args:
            fields: The fields.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: It is something else.
        """
        axes = {str(name): tuple(int(axis) for axis in own) for name, own in fields["axes"].items()}
        return cls(axes, None if fields["reason"] is None else str(fields["reason"]))


async def prove(
    package: ModelPackage, kind: Kind, run: Run, longest: int | None = None, texts: Sequence[Canary] = ()
) -> Proof:
    """Run made-up requests exactly and padded, and hold the answers against each other.

    Native onnxruntime's answers take the place of exact runs of texts, where these are known and padded runs agree with
    them. Then no session of a shape is needed that no request has.

    Args:
        package: The model, whose dimensions suggest this kind of padding.
        kind: What is padded.
        run: Runs inputs.
        longest: The longest sequence that the model takes, where that is known.
        texts: Short texts, with native onnxruntime's answers to their exact shape.

    Returns:
        The axes that padding makes longer, or why it is not exact.

    Raises:
        PoolClosed: The model or its accelerator was closed.
        QueueFull: ``max_queue`` requests wait already.
    """
    check = _Check(package, run, longest, texts)
    failure: WebinferError | None = None
    for length in lengths(package) if kind == "rows" else _TOKENS:
        if longest is not None and length >= longest:
            length = longest if kind == "rows" else longest - 1
        try:
            return await (check.prove_rows(length) if kind == "rows" else check.prove_tokens(length))
        except (PoolClosed, QueueFull):
            raise
        except WebinferError as error:
            failure = failure or error
    return Proof(reason=f"it could not be tried: {failure}", lasting=isinstance(failure, _LASTING))


class _Check:
    """One model, whose answers are held against each other."""

    def __init__(self, package: ModelPackage, run: Run, longest: int | None, texts: Sequence[Canary]) -> None:
        self._package = package
        self._texts = texts
        self._signature = package.signature
        self._limits = limits_for(package.precision, use="batch")
        self._maker = SampleMaker(package)
        self._run = run
        self._longest = longest

    async def prove_rows(self, length: int) -> Proof:
        """Hold rows in a padded batch against each alone, or the batch against the exact one where that leaves it open.

        The first needs no session of a shape that no request has. Rows that see only those before them, or the largest
        value of all, answer otherwise alone and yet the same when the last one is repeated.

        Args:
            length: Tokens of a row, and size of what else is open.

        Returns:
            The axes of rows, or what is different.
        """
        rows = [self._maker.make(length, seed) for seed in _ROWS]
        axes = await self._rows_alone(rows)
        if axes is not None:
            return Proof(axes)
        turns = [[*rows[at:], *rows[:at]] for at in range(len(rows))]  # each of them is the last one once
        return await self._exactly(list(map(_join, turns)))

    async def prove_tokens(self, length: int) -> Proof:
        """Hold texts against the same ones padded by zeros, and by other tokens, which the mask hides likewise.

        Args:
            length: Tokens before padding.

        Returns:
            The axes of tokens, or what is different.
        """
        if length < 1:
            return Proof(reason=_SHORT)
        texts = short_texts(self._package, length)
        if length == LENGTH and len(self._texts) == len(texts):
            requests, answers = [text.inputs for text in self._texts], [text.answer for text in self._texts]
            proof = await self._prove_tokens(requests, answers)
            if proof.reason is None:
                return proof
        return await self._prove_tokens(texts)

    async def _prove_tokens(self, texts: Sequence[Arrays], answers: Sequence[Arrays] | None = None) -> Proof:
        padded: list[Arrays] = []
        proof = await self._exactly(texts, answers, padded)
        return proof if proof.reason is not None else await self._with_strangers(texts, proof, padded)

    async def _rows_alone(self, rows: Sequence[Arrays]) -> Axes | None:
        batch = _join(rows)
        bucket = fit(self._signature, batch, KINDS, self._longest)
        together = await self._run(pad(self._signature, batch, bucket), bucket)
        _, _, longer = _change(bucket)
        for number, row in enumerate(rows):
            alone = await self._run(row, fit(self._signature, row, KINDS, self._longest))
            axes = _axes(alone, together, 1, longer)
            if isinstance(axes, str) or any(own != (0,) for own in axes.values()):
                return None
            if self._difference({name: array[number : number + 1] for name, array in together.items()}, alone):
                return None
        return axes if isinstance(axes, dict) else None

    async def _exactly(
        self, requests: Sequence[Arrays], answers: Sequence[Arrays] | None = None, trimmed: list[Arrays] | None = None
    ) -> Proof:
        """Hold requests in their exact shape against the same ones padded.

        Args:
            requests: The requests.
            answers: Answers to them in their exact shape; ``None`` where they are to be run.
            trimmed: The padded answers are added to it, trimmed.

        Returns:
            The axes that padding makes longer, or what is different.
        """
        known: Axes | None = None
        for number, request in enumerate(requests):
            bucket = fit(self._signature, request, KINDS, self._longest)
            if bucket.exact:
                return Proof(reason=_SHORT)
            name, own, longer = _change(bucket)
            padded = await self._run(pad(self._signature, request, bucket), bucket)
            known_answer = answers[number] if answers is not None else None
            exact = known_answer or await self._run(request, fit(self._signature, request, ()))
            if exact.keys() != padded.keys():
                return Proof(reason="the exact answer has other outputs")
            axes = _axes(exact, padded, own, longer)
            if isinstance(axes, str):
                return Proof(reason=axes)
            if known is not None and axes != known:
                return Proof(reason="outputs become longer along other axes in each run")
            known = axes
            own_part = trim(padded, _cutting(bucket, axes, name))
            if wrong := self._difference(own_part, exact):
                return Proof(reason=f"padded from {own} to {longer}, it answers otherwise: {wrong}")
            if trimmed is not None:
                trimmed.append(own_part)
        return Proof(known or {})

    async def _with_strangers(self, texts: Sequence[Arrays], proof: Proof, zeros: Sequence[Arrays]) -> Proof:
        """Hold padded texts against the same ones with other tokens in the hidden positions.

        Zeros alone might not show that a maximum over all positions sees them.

        Args:
            texts: The texts.
            proof: What padding by zeros has shown.
            zeros: The answers then, trimmed.

        Returns:
            The proof, or one that says what is different.
        """
        for seed, text in enumerate(texts):
            bucket = fit(self._signature, text, KINDS, self._longest)
            name, _, longer = _change(bucket)
            other = self._maker.make(longer, seed + _STRANGER)
            own = tuple(slice(size) for size in text["input_ids"].shape)
            other["input_ids"][own] = text["input_ids"]
            inputs = {**pad(self._signature, text, bucket), "input_ids": other["input_ids"]}
            strangers = trim(await self._run(inputs, bucket), _cutting(bucket, proof.axes, name))
            if wrong := self._difference(strangers, zeros[seed]):
                return Proof(reason=f"it sees tokens that the mask hides: {wrong}")
        return proof

    def _difference(self, outputs: Arrays, right: Arrays) -> str | None:
        for name, array in right.items():
            if array.dtype.kind == "f" and array.size and not np.isfinite(array).any():
                return f"output {name!r} holds no finite value, which cannot show that answers agree"
        return fault(compare(outputs, right), self._limits)


def _join(rows: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _change(bucket: Fit) -> tuple[str, int, int]:
    """Return the dimension that is padded, its own size and the longer one."""
    sizes = dict(bucket.sizes)
    return next((name, sizes[name], size) for name, size in bucket.padded if size != sizes[name])


def _cutting(bucket: Fit, axes: Axes, name: str) -> Fit:
    return replace(bucket, cuts={output: tuple((axis, name) for axis in own) for output, own in axes.items()})


def _axes(exact: Arrays, padded: Arrays, own: int, longer: int) -> dict[str, tuple[int, ...]] | str:
    """Return the axes of each output that padding makes longer, or which output becomes something else."""
    axes: dict[str, tuple[int, ...]] = {}
    for name, array in exact.items():
        sizes, others = array.shape, padded[name].shape
        changed = tuple(axis for axis, (one, two) in enumerate(zip(sizes, others, strict=False)) if one != two)
        if len(sizes) != len(others) or any((sizes[axis], others[axis]) != (own, longer) for axis in changed):
            return f"output {name!r} of shape {sizes} is one of {others} where {own} is padded to {longer}"
        axes[name] = changed
    return axes
