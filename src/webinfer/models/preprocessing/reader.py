"""From text, images and recordings to a model's own inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import ModelError, ShapeMismatch, TokenizerMissing
from webinfer.core.tensors import SOUND
from webinfer.models.files.package import ModelPackage
from webinfer.models.files.positions import Positions
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.preprocessing.vocabulary import Vocabulary

if TYPE_CHECKING:
    from webinfer.models.preprocessing.audio_features import LogMel, Waveform
    from webinfer.models.preprocessing.image_processor import ImageProcessor

Extract = Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]
"""Takes samples, float32 of shape (samples,); returns features by input name."""


class Reader:
    """A model's tokenizer, image processor and feature extractor, each made when it is first asked for.

    Args:
        package: The model.

    Attributes:
        vocabulary: The token ids that it knows.
        positions: The positions that it has for them.
    """

    def __init__(self, package: ModelPackage) -> None:
        self._package = package
        self.vocabulary = Vocabulary.of(package)
        self.positions = Positions.of(package)
        self._names = {spec.name for spec in package.signature.inputs}
        self._tokenizer: Tokenizer | None = None
        self._image_processor: ImageProcessor | None = None
        self._features: LogMel | Waveform | None = None
        self._sound = next((name for name in SOUND if name in self._names), "")

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            TokenizerMissing: The model came without one.
            TokenizerMismatch: It is another model's.
            InvalidModel: Its file cannot be read.
        """
        if self._tokenizer is None:
            if self._package.tokenizer is None:
                raise TokenizerMissing(
                    f"{self._package.name} has no tokenizer.json: pass token ids, or put the file beside the model.",
                    model=self._package.name,
                )
            tokenizer = Tokenizer(self._package.tokenizer)
            self.vocabulary.check_tokenizer(tokenizer)
            self._tokenizer = tokenizer
        return self._tokenizer

    @property
    def image_processor(self) -> ImageProcessor:
        """The image processor.

        Raises:
            ProcessorMissing: The model came without one.
            InvalidModel: Its file cannot be read or followed.
        """
        if self._image_processor is None:
            from webinfer.models.preprocessing.image_processor import ImageProcessor  # late: few callers have images

            self._image_processor = ImageProcessor.of(self._package)
        return self._image_processor

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """The shape that images are brought to, where the model has an image processor that knows one."""
        if "pixel_values" not in self._names:
            return None
        try:
            size = self.image_processor.size
        except ModelError:
            return None  # prepared tensors need no processor
        return None if size is None else (3, *size)

    @property
    def features(self) -> LogMel | Waveform:
        """The feature extractor, from samples to the model's input.

        Raises:
            InvalidModel: The model came without a preprocessor_config.json that can be followed.
        """
        if self._features is None:
            from webinfer.models.preprocessing.audio_features import (
                feature_extractor,  # late: few callers have recordings
            )

            self._features = feature_extractor(self._package.settings("preprocessor_config.json"), self._package.name)
        return self._features

    def holds_files(self, inputs: Any) -> bool:
        """Return whether inputs hold images or recordings for a model that takes them, which are yet to be prepared.

        Args:
            inputs: Inputs as ``Model.run`` takes them.
        """
        if self._sound:
            return bool(self._recordings(inputs))
        return "pixel_values" in self._names and bool(self._images(inputs))

    def prepare_files(self, inputs: Any, extract: Extract | None = None) -> Any:
        """Return inputs with their images and recordings as tensors; inputs without any, unchanged.

        Args:
            inputs: What the caller gave.
            extract: Takes the place of ``features``.

        Raises:
            ProcessorMissing: The model came without an image processor.
            InvalidModel: It came without a feature extractor.
            InvalidImage: An image cannot be read.
            InvalidAudio: A recording cannot be read.
            ShapeMismatch: They come out in several sizes.
        """
        if not self.holds_files(inputs):
            return inputs
        if self._sound:
            tensors = self._sound_tensors(self._recordings(inputs), extract or self.features)
        else:
            from webinfer.models.preprocessing.image_processor import image_tensors

            tensors = image_tensors(self._package.signature, [*map(self.image_processor, self._images(inputs))])
        return {**(inputs if _is_named(inputs) else {}), **tensors}

    def _images(self, inputs: Any) -> list[Any]:
        """Return images in place of ``pixel_values``; arrays are tensors. For models of text, a string is text."""
        from webinfer.models.preprocessing.images import Picture

        given = inputs.get("pixel_values") if isinstance(inputs, Mapping) else inputs
        images = given if isinstance(given, list | tuple) else [given]
        text = not isinstance(inputs, Mapping) and "input_ids" in self._names
        kinds = (Path, bytes, Picture) if text else (str, Path, bytes, Picture)
        return list(images) if all(isinstance(image, kinds) for image in images) else []

    def _recordings(self, inputs: Any) -> list[Any]:
        """Return recordings in place of the model's sound; arrays are tensors."""
        given = inputs.get(self._sound) if _is_named(inputs) else inputs
        recordings = given if isinstance(given, list | tuple) else [given]
        return list(recordings) if all(isinstance(item, str | Path | bytes | Mapping) for item in recordings) else []

    def _sound_tensors(self, recordings: list[Any], extract: Extract) -> dict[str, NDArray[Any]]:
        from webinfer.models.preprocessing.audio import read_audio

        features = [extract(read_audio(recording, self.features.rate)) for recording in recordings]
        lengths = {next(iter(arrays.values())).shape[-1] for arrays in features}
        if len(lengths) > 1:
            raise ShapeMismatch(
                f"The recordings have {len(lengths)} lengths ({', '.join(map(str, sorted(lengths)))} samples): run "
                "them one by one.",
                input=self._sound,
            )
        return self.wanted({name: np.concatenate([arrays[name] for arrays in features]) for name in features[0]})

    def check(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Refuse token ids that the model does not know, and more of them than it has positions for.

        Args:
            tensors: Inputs by name, as they are sent.

        Raises:
            TokenOutOfRange: One is not in its vocabulary.
            InputTooLong: There are too many.
        """
        self.vocabulary.check(tensors)
        self.positions.check(tensors)

    def text(self, inputs: Any) -> Any:
        """Return text, or a list of texts, as token ids; anything else as it is.

        Args:
            inputs: Inputs as ``Model.run`` takes them.

        Returns:
            Inputs by name, where text was given.

        Raises:
            TokenizerMissing: There is text and the model came without a tokenizer.
        """
        required = self._package.signature.required
        if len(required) == 1 and required[0].dtype == "string":
            return inputs  # the model reads text itself
        if isinstance(inputs, str) or (
            isinstance(inputs, list) and inputs and all(isinstance(text, str) for text in inputs)
        ):
            return self.wanted(self.tokenizer.encode(inputs))
        return inputs

    def wanted(self, encoded: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the arrays of an encoded text that are inputs of the model: not every model takes token types.

        Args:
            encoded: What the tokenizer made, by input name.
        """
        return {name: array for name, array in encoded.items() if name in self._names}


def _is_named(inputs: Any) -> bool:
    """Return whether inputs are a mapping by name; one with ``sampling_rate`` is a recording."""
    return isinstance(inputs, Mapping) and "sampling_rate" not in inputs
