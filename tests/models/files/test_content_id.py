"""A model's CID is what publishing its files gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.modelfiles import Write
from webinfer.models.files.content_id import model_cid
from webinfer.models.ipfs.importer import Importer
from webinfer.models.sources.resolve import resolve


def test_cid_of_one_file_is_the_one_that_everybody_else_gives(tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello world")
    assert model_cid({"a": tmp_path / "a"}) == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    (tmp_path / "a").write_bytes(b"hello there")
    assert model_cid({"a": tmp_path / "a"}) != "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.mark.parametrize("nbytes", [10, 3 << 20])
def test_cid_of_several_is_that_of_their_directory(tmp_path: Path, own_cache: Path, nbytes: int) -> None:
    directory = tmp_path / "model"
    (directory / "weights").mkdir(parents=True)
    names = ("model.onnx", "model.onnx_data", "weights/0.bin")
    for number, name in enumerate(names):
        (directory / name).write_bytes(bytes([number]) * (nbytes + number))
    published = Importer(put=lambda block: None).add(directory)
    for _ in range(2):  # made, and remembered
        assert model_cid({name: directory / name for name in names}) == str(published.cid)


def test_package_tells_its_cid(write: Write, own_cache: Path) -> None:
    path = write("model.onnx")
    assert resolve(path).cid == str(Importer(put=lambda block: None).add(path).cid)
