"""What takes note of an accelerator's work: it feeds the counters, the tracer and, where there is one, the database."""

from webinfer.telemetry.recorder.recorder import Recorder

__all__ = ["Recorder"]
