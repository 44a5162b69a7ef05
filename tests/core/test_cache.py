"""The cache directory, and what is made in it once."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from webinfer.core import cache
from webinfer.core.cache import cache_dir, claim, hash_file
from webinfer.core.errors import OptionError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cache_lies_where_the_environment_says(own_cache: Path) -> None:
    assert cache_dir() == own_cache
    assert own_cache.is_dir()


def test_cache_lies_in_the_platforms_place_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WEBINFER_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name, appauthor: str(tmp_path / name))
    assert cache_dir() == tmp_path / "webinfer"


def test_cache_that_cannot_be_made_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OptionError, match="WEBINFER_CACHE"):
        cache_dir()


def test_claim_makes_a_directory_once(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with claim(target) as work:
        assert work is not None
        (work / "file").write_text("one")
        assert not target.exists()
    with claim(target) as work:
        assert work is None
    assert (target / "file").read_text() == "one"
    assert [path.name for path in target.parent.iterdir() if path.is_dir()] == ["target"]


def test_claim_leaves_nothing_when_making_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with claim(tmp_path / "target") as work:
            assert work is not None
            (work / "half").write_text("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    with claim(tmp_path / "target") as work:
        assert work is not None


def test_claim_lets_one_of_many_threads_make_it(tmp_path: Path) -> None:
    makers, start = [], threading.Barrier(8)

    def make(number: int) -> str:
        start.wait()
        with claim(tmp_path / "target") as work:
            if work is not None:
                makers.append(number)
                (work / "maker").write_text(str(number))
        return (tmp_path / "target" / "maker").read_text()

    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(make, range(8)))
    assert len(makers) == 1
    assert set(read) == {str(makers[0])}


def test_claim_lets_one_of_many_processes_make_it(tmp_path: Path) -> None:
    code = """
import sys, os
from pathlib import Path
from webinfer.core.cache import claim
with claim(Path(sys.argv[1])) as work:
    if work is not None:
        (work / "maker").write_text(str(os.getpid()))
        print("made")
print((Path(sys.argv[1]) / "maker").read_text())
"""
    command = [sys.executable, "-c", code, str(tmp_path / "target")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0].split() for process in processes]
    assert sum(words[0] == "made" for words in said) == 1
    assert len({words[-1] for words in said}) == 1


def test_claim_clears_away_what_a_killed_process_left(tmp_path: Path) -> None:
    code = """
import sys, os, signal
from pathlib import Path
from webinfer.core.cache import claim
with claim(Path(sys.argv[1])) as work:
    (work / "half").write_text("")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "target")], check=False)
    assert list(tmp_path.glob(".target.*.part"))
    with claim(tmp_path / "target") as work:
        assert work is not None
        assert not (work / "half").exists()
        assert list(tmp_path.glob(".target.*.part")) == [work]


def test_hash_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    monkeypatch.setattr(cache, "_STEP", -1.0)  # as if it had lain there for a while
    assert hash_file(file) == hashlib.sha256(b"one").hexdigest()
    monkeypatch.setattr(cache, "_CHUNK", 0)  # Reads nothing: only memory can give the right answer now.
    assert hash_file(file) == hashlib.sha256(b"one").hexdigest()
    monkeypatch.undo()
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "cache"))
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert hash_file(file) == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize("way", ["in place", "renamed", "through a link", "twice at once"])
def test_new_contents_of_the_same_size_and_time_have_their_own_hash(tmp_path: Path, way: str) -> None:
    target = file = tmp_path / "file"
    if way == "through a link":
        target = tmp_path / "target"
        file.symlink_to(target)
    hashes = []
    for contents in (b"one", b"two", b"six"):
        if way == "renamed" and file.exists():
            (tmp_path / "new").write_bytes(contents)
            os.utime(tmp_path / "new", ns=(1, 1))
            (tmp_path / "new").replace(file)
        else:
            with target.open("r+b" if target.exists() else "wb") as opened:
                opened.write(contents)
        os.utime(target, ns=(1, 1))
        if way != "twice at once":  # else it is so young that its times may not tell
            while time.time() - target.stat().st_ctime < 0.02:
                time.sleep(0.005)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache, "_STEP", cache._STEP if way == "twice at once" else 0.01)
            hashes.append(hash_file(file))
    assert hashes == [hashlib.sha256(contents).hexdigest() for contents in (b"one", b"two", b"six")]


@pytest.mark.parametrize("memory", ["", "{", "[]", '{"a": 1}', '"text"', "\x00"])
def test_corrupt_memory_of_hashes_is_made_anew(
    tmp_path: Path, own_cache: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    own_cache.mkdir()
    (own_cache / "hashes.json").write_text(memory)
    monkeypatch.setattr(cache, "_STEP", -1.0)
    assert hash_file(file) == hashlib.sha256(b"one").hexdigest()
    assert list(json.loads((own_cache / "hashes.json").read_text()).values()) == [hashlib.sha256(b"one").hexdigest()]


def test_threads_lose_no_remembered_hash(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_STEP", -1.0)
    files = [tmp_path / f"file{number}" for number in range(20)]
    for file in files:
        file.write_text(file.name)
    with ThreadPoolExecutor(8) as threads:
        hashes = list(threads.map(hash_file, files))
    assert sorted(json.loads((own_cache / "hashes.json").read_text()).values()) == sorted(hashes)
