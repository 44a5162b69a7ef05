"""Every exception that webinfer raises.

::

    WebinferError
    +-- OptionError (ValueError)              an option has a value that cannot be
    +-- InputError (ValueError)               the inputs do not fit the model
    |   +-- UnknownInput
    |   +-- MissingInput
    |   +-- DtypeMismatch
    |   +-- ShapeMismatch
    |   +-- EmptyBatch
    |   +-- UnknownOutput
    |   +-- TokenOutOfRange                   a token id that the model does not know
    |   +-- InputTooLong                      more tokens than the model has positions for
    |   +-- InvalidAudio                      no sound that can be read, or an empty one
    |   +-- InvalidImage                      no image that can be read, or one without pixels
    +-- NotANumber                            the model answered NaN
    +-- AccuracyError                         a browser computes something else than native onnxruntime
    +-- ModelError                            the model itself
    |   +-- ModelNotFound (LookupError)
    |   +-- InvalidModel                      corrupt, truncated or not ONNX
    |   +-- UnsupportedOperator               an operator that the runtime lacks
    |   +-- NotQuantizable                    its weights cannot be brought to that precision
    |   +-- TokenizerMissing
    |   +-- TokenizerMismatch                 it has more tokens than the model knows
    |   +-- TaskMismatch                      the task needs another kind of model
    |   +-- ProcessorMissing                  an image for a model without an image processor
    |   +-- StoreError                        the disk under a store of models failed or is full
    |   +-- FetchError                        a package or file could not be fetched
    |       +-- IntegrityError                it came, with the wrong contents
    +-- BackendError                          the runtime inside the browser
    |   +-- BackendUnavailable                this browser cannot run that backend
    |   +-- LoadFailed
    |   +-- RunFailed
    |   +-- SoftwareAdapter                   no hardware, or none that is proven, and `require_hardware` wants it
    |   +-- OperatorFallback                  nodes ran elsewhere, and `require` forbids that
    |   +-- OutOfMemory (MemoryError)
    |   +-- HandleLost                        a tensor that stayed in the browser is gone; retryable
    +-- BrowserError
    |   +-- BrowserNotFound (LookupError)
    |   +-- InstallFailed
    |   +-- LaunchFailed                      it never dialled back
    +-- LostError                             something died under a request; retryable
    |   +-- DeviceLost
    |   +-- LaneLost
    |   |   +-- RuntimeDied
    |   +-- SocketLost
    |   +-- BrowserLost
    +-- DeadlineExceeded (TimeoutError)
    +-- HostError
    |   +-- PortInUse (OSError)
    +-- ProtocolError                         the wire
    |   +-- MalformedFrame
    |   +-- FrameTooLarge
    |   +-- UnknownKind
    |   +-- VersionMismatch
    |   +-- Forbidden                         wrong token, Host or Origin
    +-- DatabaseError                         the file that results are kept in
    |   +-- DatabaseLocked                    another process has it open
    |   +-- DatabaseReadOnly
    |   +-- DatabaseTooNew                    a newer webinfer wrote it
    |   +-- DatabaseDamaged                   cut off, or no database
    +-- BenchmarkError                        what a benchmark wrote cannot be read, or compared
    +-- TuningFailed                          no candidate of a contest could be measured
    +-- QueueFull
    +-- PoolClosed
    +-- WrongLoop (RuntimeError)              called where waiting would never end

Each class has a stable ``code``, which is what crosses the wire and what programs should compare. ``retryable`` says
whether the same request may succeed when it is run again elsewhere. The keyword arguments given at construction are the
error's ``data``: they name the culprit for programs, while the message names it, and the remedy, for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webinfer.core.errors.base import WebinferError, class_of
from webinfer.core.errors.inputs import (
    AccuracyError,
    DtypeMismatch,
    EmptyBatch,
    FetchError,
    InputError,
    InputTooLong,
    IntegrityError,
    InvalidAudio,
    InvalidImage,
    InvalidModel,
    MissingInput,
    ModelError,
    ModelNotFound,
    NotANumber,
    NotQuantizable,
    OptionError,
    ProcessorMissing,
    ShapeMismatch,
    StoreError,
    TaskMismatch,
    TokenizerMismatch,
    TokenizerMissing,
    TokenOutOfRange,
    UnknownInput,
    UnknownOutput,
    UnsupportedOperator,
)
from webinfer.core.errors.runtimes import (
    BackendError,
    BackendUnavailable,
    BrowserError,
    BrowserLost,
    BrowserNotFound,
    DeviceLost,
    HandleLost,
    InstallFailed,
    LaneLost,
    LaunchFailed,
    LoadFailed,
    LostError,
    OperatorFallback,
    OutOfMemory,
    RunFailed,
    RuntimeDied,
    SocketLost,
    SoftwareAdapter,
)
from webinfer.core.errors.services import (
    BenchmarkError,
    DatabaseDamaged,
    DatabaseError,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseTooNew,
    DeadlineExceeded,
    Forbidden,
    FrameTooLarge,
    HostError,
    MalformedFrame,
    PoolClosed,
    PortInUse,
    ProtocolError,
    QueueFull,
    TuningFailed,
    UnknownKind,
    VersionMismatch,
    WrongLoop,
)

__all__ = [
    "AccuracyError",
    "BackendError",
    "BackendUnavailable",
    "BenchmarkError",
    "BrowserError",
    "BrowserLost",
    "BrowserNotFound",
    "DatabaseDamaged",
    "DatabaseError",
    "DatabaseLocked",
    "DatabaseReadOnly",
    "DatabaseTooNew",
    "DeadlineExceeded",
    "DeviceLost",
    "DtypeMismatch",
    "EmptyBatch",
    "FetchError",
    "Forbidden",
    "FrameTooLarge",
    "HandleLost",
    "HostError",
    "InputError",
    "InputTooLong",
    "InstallFailed",
    "IntegrityError",
    "InvalidAudio",
    "InvalidImage",
    "InvalidModel",
    "LaneLost",
    "LaunchFailed",
    "LoadFailed",
    "LostError",
    "MalformedFrame",
    "MissingInput",
    "ModelError",
    "ModelNotFound",
    "NotANumber",
    "NotQuantizable",
    "OperatorFallback",
    "OptionError",
    "OutOfMemory",
    "PoolClosed",
    "PortInUse",
    "ProcessorMissing",
    "ProtocolError",
    "QueueFull",
    "RunFailed",
    "RuntimeDied",
    "ShapeMismatch",
    "SocketLost",
    "SoftwareAdapter",
    "StoreError",
    "TaskMismatch",
    "TokenOutOfRange",
    "TokenizerMismatch",
    "TokenizerMissing",
    "TuningFailed",
    "UnknownInput",
    "UnknownKind",
    "UnknownOutput",
    "UnsupportedOperator",
    "VersionMismatch",
    "WebinferError",
    "WrongLoop",
    "from_wire",
]


def from_wire(code: str, message: str, data: Mapping[str, Any]) -> WebinferError:
    """Rebuild the error that a page, a lane or a process of ours reported.

    Args:
        code: Its code.
        message: Its message.
        data: Its data; of a page's error also ``name``, the JavaScript class, and ``stack``.

    Returns:
        The exception of that code, or ``RunFailed`` for a code that this version does not know.
    """
    return (class_of(code) or RunFailed)(message, **data)
