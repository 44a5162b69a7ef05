from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from webinfer.cli.files.inputs import read_array, read_arrays, read_json, read_named
from webinfer.core.errors import InputError


def test_named_inputs_are_files_or_json(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    read = read_named([f"x={tmp_path}/x.npy", "y=[1, 2.5]", "z=7", "a=b=c".replace("b=c", '"b=c"')])
    assert read["x"].tolist() == [0, 1, 2]
    assert {name: read[name] for name in "yza"} == {"y": [1, 2.5], "z": 7, "a": "b=c"}


@pytest.mark.parametrize("pair", ["x", "=[1]", "x=zz", "x=/nowhere/x.npy"])
def test_bad_named_input_is_an_error_that_names_it(pair: str) -> None:
    with pytest.raises(InputError, match=r"x|=\[1\]"):
        read_named([pair])


def test_archive_holds_an_array_for_each_input(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.ones(2), y=np.zeros((1, 2)))
    assert {name: array.shape for name, array in read_arrays(tmp_path / "in.npz").items()} == {"x": (2,), "y": (1, 2)}


@pytest.mark.parametrize("contents", [b"", b"PK\x03\x04garbage", b"no archive at all"])
@pytest.mark.parametrize("read", [read_array, read_arrays])
def test_garbage_is_an_error_that_names_the_file(tmp_path: Path, contents: bytes, read: object) -> None:
    path = tmp_path / "in.npz"
    path.write_bytes(contents)
    assert callable(read)
    with pytest.raises(InputError, match=r"in\.npz"):
        read(path)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([object()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="allow_pickle"):
        read_array(tmp_path / "x.npy")
    with pytest.raises(InputError, match="allow_pickle"):
        read_arrays(tmp_path / "x.npz")


def test_a_single_array_in_place_of_an_archive_says_what_to_do(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.ones(2))
    with pytest.raises(InputError, match=r"--input name=file\.npy"):
        read_arrays(tmp_path / "x.npz")


def test_json_comes_from_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.json").write_text('{"x": [1]}', encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO('{"x": [2]}'))
    assert (read_json(str(tmp_path / "in.json")), read_json("-")) == ({"x": [1]}, {"x": [2]})


@pytest.mark.parametrize(
    ("text", "complaint"), [("[1]", "no JSON object"), ("{", "is not JSON"), ("\xff", "is not JSON")]
)
def test_json_that_is_no_object_is_an_error(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "in.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        read_json(str(path))


def test_missing_json_file_is_an_error() -> None:
    with pytest.raises(InputError, match="No such file"):
        read_json("/nowhere/in.json")
