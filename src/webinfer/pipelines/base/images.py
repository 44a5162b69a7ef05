"""What pipelines over images share: they run images, and return each image's rows of the outputs in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import EmptyBatch
from webinfer.core.options import positive
from webinfer.models.preprocessing.image_processor import Size, image_tensors
from webinfer.models.preprocessing.images import ImageInput, open_image
from webinfer.pipelines.base.pipeline import AsyncPipeline

_WINDOW = 32  # images that are prepared together, while the window before runs; an image takes 0.6 MB or more


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """One image's share of a run.

    Attributes:
        size: Of the image, upright, before it was prepared.
        outputs: The outputs' rows for it.
    """

    size: Size
    outputs: dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Prepared:
    size: Size
    pixels: NDArray[np.float32]


class ImagePipeline(AsyncPipeline):
    """A task over images."""

    provided: ClassVar[frozenset[str]] = frozenset({"pixel_values", "pixel_mask"})  # the inputs that it can make

    def _check_models(self) -> None:
        """Refuse a model that takes no images, needs other inputs, or does not say how images are prepared."""
        signature = self.model.package.signature
        if not any(spec.name == "pixel_values" for spec in signature.inputs):
            self._refuse(self.model, "it has no input pixel_values")
        for spec in signature.required:
            if spec.name not in self.provided:
                self._refuse(self.model, f"it also needs {spec.name}")
        _ = self.model.image_processor

    async def _features(
        self,
        images: Sequence[ImageInput],
        outputs: Sequence[str],
        batch_size: int,
        others: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[ImageFeatures]:
        """Run images, those of one shape together, and return their rows in order.

        Images are not padded. So an image's answer does not depend on the other images.

        Args:
            images: One or more images.
            outputs: Names of the outputs to return. The first axis of each is that of the images.
            batch_size: Most images in one run.
            others: Inputs that are the same for all images.

        Returns:
            The features of each image, in order.

        Raises:
            EmptyBatch: There are no images.
            OptionError: ``batch_size`` is below 1.
            InvalidImage: An image cannot be read.
        """
        positive("batch_size", batch_size)
        if not images:
            raise EmptyBatch(f"{self.task} was given no images: pass at least one.")
        windows = [images[at : at + _WINDOW] for at in range(0, len(images), _WINDOW)]
        features: list[ImageFeatures] = []
        preparing = asyncio.create_task(asyncio.to_thread(self._prepare, windows[0]))
        try:
            for number in range(1, len(windows) + 1):
                prepared = await preparing
                if number < len(windows):
                    preparing = asyncio.create_task(asyncio.to_thread(self._prepare, windows[number]))
                features += await self._run_prepared(prepared, outputs, batch_size, others or {})
        finally:
            preparing.cancel()
            # Its outcome is taken, so that asyncio does not report an error that nobody retrieved.
            await asyncio.gather(preparing, return_exceptions=True)
        return features

    async def _run_prepared(
        self,
        prepared: Sequence[_Prepared],
        outputs: Sequence[str],
        batch_size: int,
        others: Mapping[str, NDArray[Any]],
    ) -> list[ImageFeatures]:
        signature = self.model.package.signature
        groups = list(self._groups(prepared, batch_size))
        feeds = [{**others, **image_tensors(signature, [prepared[at].pixels for at in group])} for group in groups]
        rows: dict[int, ImageFeatures] = {}
        for group, result in zip(groups, await self._run_batch(feeds, outputs), strict=True):
            for place, at in enumerate(group):
                rows[at] = ImageFeatures(prepared[at].size, {name: result[name][place] for name in outputs})
        return [rows[at] for at in range(len(prepared))]

    def _prepare(self, images: Sequence[ImageInput]) -> list[_Prepared]:
        prepared = []
        for image in images:
            picture = open_image(image)
            prepared.append(_Prepared((picture.height, picture.width), self.model.image_processor(picture)))
        return prepared

    def _groups(self, prepared: Sequence[_Prepared], batch_size: int) -> Iterator[list[int]]:
        """Yield the indices of images that run together."""
        fixed = next(spec for spec in self.model.package.signature.inputs if spec.name == "pixel_values").shape[0]
        size = fixed if isinstance(fixed, int) else batch_size
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for at, image in enumerate(prepared):
            by_shape.setdefault(image.pixels.shape, []).append(at)
        for indices in by_shape.values():
            yield from (indices[at : at + size] for at in range(0, len(indices), size))


def images_of(inputs: Any) -> tuple[list[ImageInput], bool]:
    """Return a list of images for one image or a list.

    Args:
        inputs: One image or a list of them, as ``Model.run`` takes them.

    Returns:
        The images, and whether the caller passed a list.
    """
    return (list(inputs), True) if isinstance(inputs, list | tuple) else ([inputs], False)
