"""Errors of what is around a run: time, the host, the wire, the database, the queue."""

from __future__ import annotations

from webinfer.core.errors.base import WebinferError


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
