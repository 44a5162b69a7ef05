"""From text and images to a model's own inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from webinfer.errors import ModelError, TokenizerMissing
from webinfer.models.package import ModelPackage
from webinfer.models.text import Tokenizer

if TYPE_CHECKING:
    from webinfer.models.image_processor import ImageProcessor


class Reader:
    """A model's tokenizer and image processor, each made when it is first asked for.

    Args:
        package: The model.
    """

    def __init__(self, package: ModelPackage) -> None:
        self._package = package
        self._names = {spec.name for spec in package.signature.inputs}
        self._tokenizer: Tokenizer | None = None
        self._image_processor: ImageProcessor | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            TokenizerMissing: The model came without one.
        """
        if self._tokenizer is None:
            if self._package.tokenizer is None:
                raise TokenizerMissing(
                    f"{self._package.name} has no tokenizer.json: pass token ids, or put the file beside the model.",
                    model=self._package.name,
                )
            self._tokenizer = Tokenizer(self._package.tokenizer)
        return self._tokenizer

    @property
    def image_processor(self) -> ImageProcessor:
        """The image processor.

        Raises:
            ProcessorMissing: The model came without one.
            InvalidModel: Its file cannot be read or followed.
        """
        if self._image_processor is None:
            from webinfer.models.image_processor import ImageProcessor  # late: few callers have images

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
            return None  # who gives prepared tensors needs no processor
        return None if size is None else (3, *size)

    def holds_images(self, inputs: Any) -> bool:
        """Whether there are images among the inputs of a model that takes them, which are yet to be prepared."""
        return "pixel_values" in self._names and bool(self._images(inputs))

    def prepare_images(self, inputs: Any) -> Any:
        """Return inputs with their images as tensors, which takes a while; what holds none, as it is.

        Raises:
            ProcessorMissing: The model came without an image processor.
            InvalidImage: One cannot be read.
            ShapeMismatch: They come out in several sizes.
        """
        from webinfer.models.image_processor import image_tensors

        images = self._images(inputs)
        if not images:
            return inputs
        tensors = image_tensors(self._package.signature, [*map(self.image_processor, images)])
        return {**(inputs if isinstance(inputs, Mapping) else {}), **tensors}

    def _images(self, inputs: Any) -> list[Any]:
        """Return images in place of ``pixel_values``; arrays are tensors, and what could be text is text."""
        from webinfer.models.images import Picture

        given = inputs.get("pixel_values") if isinstance(inputs, Mapping) else inputs
        images = given if isinstance(given, list | tuple) else [given]
        text = not isinstance(inputs, Mapping) and "input_ids" in self._names
        kinds = (Path, bytes, Picture) if text else (str, Path, bytes, Picture)
        return list(images) if all(isinstance(image, kinds) for image in images) else []

    def text(self, inputs: Any) -> Any:
        """Return text, or a list of texts, as token ids; anything else as it is."""
        if isinstance(inputs, str) or (
            isinstance(inputs, list) and inputs and all(isinstance(text, str) for text in inputs)
        ):
            return self.wanted(self.tokenizer.encode(inputs))
        return inputs

    def wanted(self, encoded: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return what the model takes of an encoded text: not every one has token types."""
        return {name: array for name, array in encoded.items() if name in self._names}
