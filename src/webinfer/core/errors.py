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

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar


class WebinferError(Exception):
    """Base of every error of this package."""

    code: ClassVar[str] = "webinfer"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", /, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return self.message or self.code

    def to_dict(self) -> dict[str, Any]:
        """Return the error as it crosses the wire and as ``--json`` prints it."""
        return {
            "code": self.code,
            "message": str(self),
            "retryable": self.retryable,
            **({"data": self.data} if self.data else {}),
        }


class OptionError(WebinferError, ValueError):
    """An option is unknown or has a value that cannot be."""

    code = "option"


class InputError(WebinferError, ValueError):
    """The inputs do not fit the model's signature."""

    code = "input"


class UnknownInput(InputError):
    """An input has a name that the model does not declare."""

    code = "input.unknown"


class MissingInput(InputError):
    """An input that the model declares was not given."""

    code = "input.missing"


class DtypeMismatch(InputError):
    """An input's values cannot become the dtype that the model declares."""

    code = "input.dtype"


class ShapeMismatch(InputError):
    """An input's rank or a dimension differs from what the model declares."""

    code = "input.shape"


class EmptyBatch(InputError):
    """An input holds no items."""

    code = "input.empty"


class UnknownOutput(InputError):
    """An output was asked for that the model does not have."""

    code = "input.output"


class TokenOutOfRange(InputError):
    """An input holds a token id that is not in the model's vocabulary."""

    code = "input.token"


class InputTooLong(InputError):
    """An input holds more tokens than the model has positions for."""

    code = "input.length"


class InvalidAudio(InputError):
    """What was given as audio is no sound that can be read, or holds no samples."""

    code = "input.audio"


class InvalidImage(InputError):
    """A file or array is no image that can be read, or has no pixels, or too many."""

    code = "input.image"


class NotANumber(WebinferError):
    """The model answered NaN, and the option `allow_nan` is off."""

    code = "output.nan"


class AccuracyError(WebinferError):
    """A model's answers in the browser are not those of native onnxruntime, and the option `accuracy` forbids that."""

    code = "accuracy"


class ModelError(WebinferError):
    """The model itself is the matter."""

    code = "model"


class ModelNotFound(ModelError, LookupError):
    """Nothing answers to the model's name or path."""

    code = "model.not_found"


class InvalidModel(ModelError):
    """The file is corrupt, truncated or not ONNX."""

    code = "model.invalid"


class UnsupportedOperator(ModelError):
    """The model has an operator that the runtime lacks."""

    code = "model.operator"


class NotQuantizable(ModelError):
    """The model cannot be brought to that precision: it is quantized already, say, or has no weights to quantize."""

    code = "model.quantize"


class TokenizerMissing(ModelError):
    """Text was given to a model that has no tokenizer."""

    code = "model.tokenizer"


class TokenizerMismatch(ModelError):
    """The tokenizer beside a model is another model's: it has more tokens than the model knows."""

    code = "model.tokenizer_mismatch"


class TaskMismatch(ModelError):
    """The model lacks an input, an output or a file that the task needs."""

    code = "model.task"


class ProcessorMissing(ModelError):
    """An image was given to a model that has no image processor."""

    code = "model.processor"


class StoreError(ModelError):
    """The disk that models are kept on is full, or cannot be read or written."""

    code = "model.store"


class FetchError(ModelError):
    """A package or file could not be fetched."""

    code = "model.fetch"


class IntegrityError(FetchError):
    """A file came with other contents than its checksum says."""

    code = "model.integrity"


class BackendError(WebinferError):
    """The runtime inside the browser failed."""

    code = "backend"


class BackendUnavailable(BackendError):
    """This browser cannot run that backend."""

    code = "backend.unavailable"


class LoadFailed(BackendError):
    """The runtime could not make a session of the model."""

    code = "backend.load"


class RunFailed(BackendError):
    """The runtime failed while it ran the model."""

    code = "backend.run"


class SoftwareAdapter(BackendError):
    """That hardware computes is not proven, and the option `require_hardware` wants it to be."""

    code = "backend.software"


class OperatorFallback(BackendError):
    """The backend does not run every node itself, and the option `require` is `no-fallback`."""

    code = "backend.fallback"


class OutOfMemory(BackendError, MemoryError):
    """The browser had too little memory for the model or a tensor."""

    code = "backend.memory"


class HandleLost(BackendError):
    """A tensor kept in a browser is gone, with its lane or session; start over from what it was made of."""

    code = "backend.handle"
    retryable = True


class BrowserError(WebinferError):
    """A browser could not be had."""

    code = "browser"


class BrowserNotFound(BrowserError, LookupError):
    """No such browser is installed here."""

    code = "browser.not_found"


class InstallFailed(BrowserError):
    """The embedded browser could not be installed."""

    code = "browser.install"


class LaunchFailed(BrowserError):
    """The browser was started and never dialled back."""

    code = "browser.launch"


class LostError(WebinferError):
    """Something died under a request; the same request may succeed elsewhere."""

    code = "lost"
    retryable = True


class DeviceLost(LostError):
    """The browser lost its GPU device."""

    code = "lost.device"


class LaneLost(LostError):
    """The lane's worker ended."""

    code = "lost.lane"


class SocketLost(LostError):
    """The WebSocket to the browser closed."""

    code = "lost.socket"


class BrowserLost(LostError):
    """The browser ended or went silent."""

    code = "lost.browser"


class DeadlineExceeded(WebinferError, TimeoutError):
    """The time allowed by an option or argument ran out."""

    code = "deadline"


class HostError(WebinferError):
    """The host could not serve."""

    code = "host"


class PortInUse(HostError, OSError):
    """Another process listens on the port."""

    code = "host.port"


class ProtocolError(WebinferError):
    """A message broke the rules of the wire."""

    code = "protocol"


class MalformedFrame(ProtocolError):
    """A frame's bytes contradict its header, or are no frame at all."""

    code = "protocol.malformed"


class FrameTooLarge(ProtocolError):
    """A message is larger than the option `max_message_mb` allows."""

    code = "protocol.too_large"


class UnknownKind(ProtocolError):
    """A message is of a kind that the receiver does not know."""

    code = "protocol.kind"


class VersionMismatch(ProtocolError):
    """The browser speaks another version of the protocol."""

    code = "protocol.version"


class Forbidden(ProtocolError):
    """A connection came with a wrong token, Host or Origin."""

    code = "protocol.forbidden"


class DatabaseError(WebinferError):
    """The database of results cannot be opened, read or written."""

    code = "database"


class DatabaseLocked(DatabaseError):
    """Another process has the database open; one may at a time."""

    code = "database.locked"


class DatabaseReadOnly(DatabaseError):
    """The database's file or directory may not be written."""

    code = "database.read_only"


class DatabaseTooNew(DatabaseError):
    """A newer webinfer wrote the database."""

    code = "database.too_new"


class DatabaseDamaged(DatabaseError):
    """The file is cut off, or is no database of webinfer's."""

    code = "database.damaged"


class BenchmarkError(WebinferError):
    """What a benchmark wrote cannot be read, or cannot be compared."""

    code = "benchmark"


class TuningFailed(WebinferError):
    """No candidate of a contest could be measured."""

    code = "tuning"


class QueueFull(WebinferError):
    """As many requests wait as the option `max_queue` allows."""

    code = "queue.full"


class PoolClosed(WebinferError):
    """The accelerator was closed before the request was answered."""

    code = "closed"


class WrongLoop(WebinferError, RuntimeError):
    """A call from another event loop than the accelerator's, or one that waits in a callback on webinfer's own."""

    code = "loop"


def _classes(base: type[WebinferError]) -> Iterator[type[WebinferError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)


def from_wire(code: str, message: str, data: Mapping[str, Any]) -> WebinferError:
    """Rebuild the error that a page, a lane or a process of ours reported.

    Args:
        code: Its code.
        message: Its message.
        data: Its data; of a page's error also ``name``, the JavaScript class, and ``stack``.

    Returns:
        The exception of that code, or ``RunFailed`` for a code that this version does not know.
    """
    known = {cls.code: cls for cls in _classes(WebinferError)}
    return known.get(code, RunFailed)(message, **data)
