"""Runs that leave outputs in the browser, and runs that take them from there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from webinfer.browsers.recipe import Residents
from webinfer.core.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    DtypeMismatch,
    HandleLost,
    LostError,
    MalformedFrame,
    OptionError,
    ShapeMismatch,
    WebinferError,
)
from webinfer.core.placement import LaneId
from webinfer.core.tensors import DTYPES, Signature, TensorSpec, prepare, refuse_unknown
from webinfer.inference.assembly import seconds_left
from webinfer.inference.loaded_model import LoadedModel
from webinfer.inference.residents.kv_cache import make_handles
from webinfer.inference.residents.tensor_handle import AsyncTensorHandle
from webinfer.inference.result import Result
from webinfer.pool.plan.buckets import EXACT, Fit, fit
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request

Handles = Mapping[str, AsyncTensorHandle]


def holds_handles(inputs: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether there are handles among a request's inputs.

    Args:
        inputs: As ``AsyncModel.run`` takes them.
    """
    return isinstance(inputs, Mapping) and any(isinstance(value, AsyncTensorHandle) for value in inputs.values())


async def run_shared(
    model: LoadedModel,
    pool: Pool,
    inputs: Any,
    keep: Sequence[str],
    outputs: Sequence[str] | None,
    timeout: float | None,
    priority: int,
) -> Result:
    """Run one request some of whose tensors stay on a lane.

    It runs alone, with exactly its own sizes, on the lane that holds most bytes of its handles. Those that lie
    elsewhere are read, and sent as other inputs are.

    Args:
        model: The model.
        pool: The pool.
        inputs: As ``AsyncModel.run`` takes them.
        keep: Outputs to keep.
        outputs: Outputs to send; ``None`` for all that are not kept.
        timeout: As ``AsyncModel.run`` takes it.
        priority: As ``AsyncModel.run`` takes it.

    Returns:
        The result, with a handle for each output that was kept.

    Raises:
        HandleLost: A tensor is gone.
        InputError: The inputs or outputs are not the model's.
        BackendUnavailable: The model runs in stages.
        WebinferError: As the runtime or the pool reported it.
    """
    try:
        request, bucket, feeds = await _build(model, pool, inputs, keep, outputs, timeout, priority)
    except WebinferError as error:
        model.observer.failed(error, model)
        raise
    try:
        result = await model.observer.take(model, request, _complete(model, pool, request, bucket, feeds))
        result.kept = _make_handles(model, pool, request)
        return result
    except BaseException as error:  # also where it is given up: it runs to its end there, and is cleaned up behind it
        if request.lane is not None and request.residents is not None:
            pool.free(request.lane.id, [*request.residents.keep.values()])
        if feeds and isinstance(error, LostError):
            why = f"{error} The tensors kept there are gone: start over."
            raise HandleLost(why, lane=str(request.pinned)) from error
        raise


async def _build(
    model: LoadedModel,
    pool: Pool,
    inputs: Any,
    keep: Sequence[str],
    outputs: Sequence[str] | None,
    timeout: float | None,
    priority: int,
) -> tuple[Request, Fit, Handles]:
    """Make the request.

    Returns:
        The request, its shape, and the handles of inputs that stay where they are.

    Raises:
        WebinferError: As ``run_shared``.
    """
    signature = model.package.signature
    refuse_unknown([*keep, *(outputs or ())], signature, model.name)
    if not model.sessions.whole:
        raise BackendUnavailable(
            f"{model.name} runs in stages, and what it keeps must lie on one lane: raise lane_capacity_mb, or switch "
            "shard_models off.",
            backend=model.backend,
        )
    feeds, inputs = await _gather(model, pool, inputs, timeout)
    inputs = await model.requests.read(inputs)
    rest = Signature(tuple(spec for spec in signature.inputs if spec.name not in feeds), signature.outputs)
    tensors = prepare(rest, model.requests.reader.text(inputs), empty=model.backend == "wasm")
    kept = make_handles(keep)
    wanted = [spec.name for spec in signature.outputs if spec.name not in kept] if outputs is None else outputs
    residents = Residents({name: handle.key for name, handle in feeds.items()}, kept, describe=bool(kept))
    bucket = _fit(model, tensors, feeds)
    request, bucket = model.requests.build_resident(
        tensors, wanted, residents, None, bucket=bucket, timeout=timeout, priority=priority
    )
    return request, bucket, feeds


async def _complete(model: LoadedModel, pool: Pool, request: Request, bucket: Fit, feeds: Handles) -> Result:
    """Return the result of a request, which runs where its handles are.

    Raises:
        DeadlineExceeded: The model was not loaded there in time, or no answer came.
        HandleLost: A tensor is gone.
        WebinferError: As the runtime or the pool reported it.
    """
    if feeds:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(request.timeout):
                await _pin(request, pool, feeds)
        except TimeoutError:
            why = f"{model.name} was not loaded within {request.timeout:g} s where its inputs are: raise run_timeout."
            raise DeadlineExceeded(why, stage="queued", timeout=request.timeout) from None
        request.timeout = seconds_left(request.timeout, began)
    return await model.results.complete(request, bucket)


async def _gather(model: LoadedModel, pool: Pool, inputs: Any, timeout: float | None) -> tuple[Handles, Any]:
    """Bring a request's handles together on one lane.

    Returns:
        The handles that lie on that lane, by input. All other inputs, with the values of handles that lie elsewhere.

    Raises:
        InputError: A tensor is not what the input takes.
        HandleLost: A tensor is gone.
    """
    if not holds_handles(inputs):
        return {}, inputs
    specs = {spec.name: spec for spec in model.package.signature.inputs}
    handles = {name: handle for name, handle in inputs.items() if isinstance(handle, AsyncTensorHandle)}
    for name, handle in handles.items():
        if name in specs:  # any other is refused with the rest of the inputs
            _check(specs[name], handle, pool)
    lane = _choose_lane(model, pool, [handle for name, handle in handles.items() if name in specs])
    feeds = {name: handle for name, handle in handles.items() if name in specs and handle.place == lane}
    others = {name: value for name, value in inputs.items() if name not in feeds}
    for name, value in others.items():
        if isinstance(value, AsyncTensorHandle) and name in specs:
            others[name] = await value.read(timeout)
    return feeds, others


def _check(spec: TensorSpec, handle: AsyncTensorHandle, pool: Pool) -> None:
    """Refuse a handle that cannot be an input.

    Raises:
        OptionError: Another accelerator's browsers hold it.
        DtypeMismatch: It has another type.
        ShapeMismatch: It has another shape.
        HandleLost: It is gone.
    """
    if handle.pool is not pool:
        raise OptionError(
            f"{handle!r} lies in another accelerator's browser: pass what its read() returns.", option="inputs"
        )
    if handle.dtype != DTYPES[spec.dtype]:
        why = f"Input {spec.name!r} takes {spec.dtype}, and {handle!r} is {handle.dtype}: pass what its read() returns."
        raise DtypeMismatch(why, input=spec.name, expected=spec.dtype, got=str(handle.dtype))
    sizes = zip(spec.shape, handle.shape, strict=False)
    ranks = not spec.ranked or len(spec.shape) == len(handle.shape)
    if not ranks or any(isinstance(wanted, int) and size != wanted for wanted, size in sizes):
        why = f"Input {spec.name!r} takes {spec}, and {handle!r} has another shape."
        raise ShapeMismatch(why, input=spec.name, expected=list(spec.shape), got=list(handle.shape))
    handle.check()


def _choose_lane(model: LoadedModel, pool: Pool, handles: Sequence[AsyncTensorHandle]) -> LaneId | None:
    """Return the lane that holds most bytes of some handles, among those that the model may run on."""
    names = model.choice.route.names if model.choice.route else ()
    held: dict[LaneId, int] = {}
    for handle in handles:
        lane = pool.lanes[handle.place]
        if lane.capabilities.can_run(model.backend) and (not names or lane.browser_name in names):
            held[handle.place] = held.get(handle.place, 0) + handle.nbytes
    return max(held, key=held.__getitem__, default=None)


def _fit(model: LoadedModel, tensors: Mapping[str, NDArray[Any]], feeds: Handles) -> Fit:
    """Return a request's own shape, which WebNN has to know."""
    if model.backend != "webnn":
        return EXACT
    # Only shapes count here. One value, repeated, takes no memory.
    shapes = {name: np.broadcast_to(np.zeros((), handle.dtype), handle.shape) for name, handle in feeds.items()}
    return fit(model.package.signature, {**tensors, **shapes}, ())


async def _pin(request: Request, pool: Pool, feeds: Handles) -> None:
    """Have a request run where its handles are.

    Raises:
        HandleLost: A tensor is gone.
        WebinferError: The model cannot be loaded there.
    """
    (lane,) = {handle.place for handle in feeds.values()}
    await pool.place(request.key, lane)
    for handle in feeds.values():
        handle.check()  # it may have gone while the session was made
    request.pinned = lane


def _make_handles(model: LoadedModel, pool: Pool, request: Request) -> dict[str, AsyncTensorHandle]:
    """Return a handle for each output that a request kept.

    Raises:
        MalformedFrame: The lane does not say what it kept.
    """
    assert request.lane is not None
    assert request.residents is not None
    lane, handles = request.lane, {}
    for name, key in request.residents.keep.items():
        tensor = (request.kept or {}).get(key)
        if tensor is None or tensor.dtype not in DTYPES:
            raise MalformedFrame(f"Lane {lane.id} does not say what it kept of {name!r}.", lane=str(lane.id))
        lane.kept[key] = tensor
        handles[name] = AsyncTensorHandle(
            pool, lane.id, key, name=name, model=model.name, dtype=DTYPES[tensor.dtype], shape=tensor.dims
        )
    return handles
