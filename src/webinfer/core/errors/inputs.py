"""Errors of what the caller gave: options, inputs and models."""

from __future__ import annotations

from webinfer.core.errors.base import WebinferError


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
