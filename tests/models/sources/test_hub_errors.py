"""A hub that fails: either it is made good, or a typed error names the culprit and the remedy."""

from __future__ import annotations

import errno
import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.hub_server import HubServer, sha256
from tests.modelfiles import Write
from webinfer.core.errors import FetchError, IntegrityError, StoreError
from webinfer.core.progress import Progress
from webinfer.models.files.package import ModelPackage
from webinfer.models.sources.resolve import resolve

CONFIG = json.dumps({"model_type": "bert"})


@pytest.fixture
def model(hub: HubServer, write: Write) -> bytes:
    contents = write("made/model.onnx").read_bytes()
    hub.add("org/bert", {"onnx/model.onnx": contents, "config.json": CONFIG})
    return contents


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times that the library waits, without the waiting."""
    waited: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", waited.append)
    return waited


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library read pieces of 10 bytes, where it reads 10 MB."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10)


def whole(package: ModelPackage, model: bytes) -> bool:
    return package.model.path.read_bytes() == model and package.config == {"model_type": "bert"}


def kept() -> list[str]:
    """Return the names of the contents in the cache."""
    return sorted(path.name for path in Path(constants.HF_HUB_CACHE).rglob("blobs/*"))


@pytest.mark.parametrize("where", ["hub /api/", "HEAD hub", "GET cdn"])
def test_limited_rate_is_waited_for_as_long_as_the_hub_says(
    hub: HubServer, model: bytes, waits: list[float], where: str
) -> None:
    hub.fail(where, 429, Retry_After="7")
    assert whole(resolve("org/bert"), model)
    assert all(7 <= wait <= 8 for wait in waits)


def test_lasting_limit_is_told(hub: HubServer, model: bytes, waits: list[float]) -> None:
    hub.fail("/api/", *[429] * 9, Retry_After="1")
    with pytest.raises(FetchError, match=r"answered 429 for 'org/bert'.*wait and try again, or log in") as caught:
        resolve("org/bert")
    assert (caught.value.data["status"], caught.value.data["repo"]) == (429, "org/bert")
    assert len(waits) == 3


@pytest.mark.parametrize("where", ["hub /api/", "HEAD hub"])
def test_passing_server_errors_are_retried(hub: HubServer, model: bytes, waits: list[float], where: str) -> None:
    hub.fail(where, 500, 503)
    assert whole(resolve("org/bert"), model)


@pytest.mark.parametrize("where", ["hub /api/", "HEAD hub", "GET cdn"])
def test_lasting_server_errors_are_told(hub: HubServer, model: bytes, waits: list[float], where: str) -> None:
    hub.fail(where, *[500] * 30)
    with pytest.raises(FetchError, match=r"answered 500 for 'org/bert'.*HF_ENDPOINT") as caught:
        resolve("org/bert")
    assert caught.value.data["endpoint"] == hub.url
    hub._failures.clear()
    assert whole(resolve("org/bert"), model)


def test_server_errors_do_not_matter_to_what_is_in_the_cache(hub: HubServer, model: bytes, waits: list[float]) -> None:
    resolve("org/bert")
    hub.fail("hub", *[503] * 9)
    assert whole(resolve("org/bert"), model)
    assert waits == []


def test_refused_token_is_told(hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    hub.fail("/api/", 401, X_Error_Message="Invalid credentials in Authorization header")
    with pytest.raises(FetchError, match=r"answered 401 for 'org/bert' .*token was not accepted.*unset HF_TOKEN"):
        resolve("org/bert")


def test_forbidden_model_is_told(hub: HubServer, model: bytes) -> None:
    hub.fail("/api/", 403)
    with pytest.raises(FetchError, match=r"answered 403 .*ask for access at .*/org/bert"):
        resolve("org/bert")


def test_gated_model_says_where_to_ask(hub: HubServer, model: bytes) -> None:
    hub.repos["org/bert"].gated = True
    with pytest.raises(FetchError, match=r"'org/bert' is gated: ask for access at http://.*/org/bert, and log in"):
        resolve("org/bert")


def test_vanished_file_is_told(hub: HubServer, model: bytes) -> None:
    hub.fail("HEAD hub /org/bert/resolve", 404, X_Error_Code="EntryNotFound")
    with pytest.raises(FetchError, match="answered 404 for 'org/bert'"):
        resolve("org/bert")


def test_what_is_no_hub_is_told(hub: HubServer, model: bytes) -> None:
    hub.fail("/api/", 200)
    with pytest.raises(FetchError, match=r"is not the hub's list of files: HF_ENDPOINT must name a hub"):
        resolve("org/bert")


def test_broken_download_goes_on_where_it_broke(
    hub: HubServer, model: bytes, waits: list[float], small_pieces: None
) -> None:
    hub.breaks["onnx/model.onnx"] = deque([40, 30])
    steps: list[Progress] = []
    assert whole(resolve("org/bert", progress=steps.append), model)
    ranges = [one.range for one in hub.asked if one.cdn and one.method == "GET"]
    assert ranges == [None, "bytes=40-", "bytes=70-"]
    assert steps[-1].done == steps[-1].total == len(model) + len(CONFIG)


def test_download_that_breaks_for_good_is_told_and_leaves_nothing(
    hub: HubServer, model: bytes, waits: list[float]
) -> None:
    hub.breaks["onnx/model.onnx"] = deque([0] * 30)
    with pytest.raises(FetchError, match="could not be reached for 'org/bert'"):
        resolve("org/bert")
    assert not [name for name in kept() if len(name) != 40]
    hub.breaks.clear()
    assert whole(resolve("org/bert"), model)


@pytest.mark.parametrize("file", ["onnx/model.onnx", "config.json"])
def test_other_contents_are_refused_and_removed(hub: HubServer, model: bytes, file: str) -> None:
    contents = hub.repos["org/bert"].files[file]
    hub.tampered[file] = bytes(len(contents))
    with pytest.raises(IntegrityError, match=f"{file} of 'org/bert' came with other contents") as caught:
        resolve("org/bert")
    assert caught.value.data["expected"] not in kept()
    hub.tampered.clear()
    assert whole(resolve("org/bert"), model)


def test_contents_of_the_wrong_size_are_refused(hub: HubServer, model: bytes) -> None:
    hub.tampered["onnx/model.onnx"] = b"<html>Please log in to this network</html>"
    with pytest.raises(FetchError, match="came with the wrong size"):
        resolve("org/bert")
    hub.tampered.clear()
    assert whole(resolve("org/bert"), model)


def test_file_that_went_bad_in_the_cache_is_fetched_again(hub: HubServer, model: bytes) -> None:
    path = resolve("org/bert").model.path
    path.resolve().write_bytes(bytes(len(model)))
    hub.asked.clear()
    assert whole(resolve("org/bert"), model)
    assert hub.files_asked() == ["onnx/model.onnx"]


def test_file_that_went_bad_is_not_used_offline(hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve("org/bert").model.path.resolve().write_bytes(bytes(len(model)))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE"):
        resolve("org/bert")


def test_full_disk_is_told(hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", full)
        with pytest.raises(StoreError, match=r"No space left on device\. Make room there, or set HF_HOME") as caught:
            resolve("org/bert")
        assert caught.value.data["path"] == constants.HF_HUB_CACHE
    assert whole(resolve("org/bert"), model)


def test_paths_out_of_the_repository_are_not_followed(hub: HubServer, model: bytes, write: Write) -> None:
    hub.add("org/evil", {"onnx/model.onnx": model, "../../config.json": CONFIG, "onnx/../../../x.onnx_data": b"x"})
    assert resolve("org/evil").config == {}
    assert hub.files_asked() == ["onnx/model.onnx"]


def test_failing_file_stops_the_others(hub: HubServer, model: bytes, small_pieces: None) -> None:
    hub.add("org/big", {"onnx/model.onnx": model, "onnx/model.onnx_data": bytes(100_000), "config.json": CONFIG})
    hub.slow["onnx/model.onnx_data"] = 0.05
    hub.fail("HEAD hub /org/big/resolve/" + "c" * 40 + "/config.json", 403)
    with pytest.raises(FetchError, match="answered 403"):
        resolve("org/big")
    assert sha256(bytes(100_000)) not in kept()


def test_callers_progress_may_end_it(hub: HubServer, model: bytes) -> None:
    class Enough(Exception):
        pass

    def stop(_: Progress) -> None:
        raise Enough

    with pytest.raises(Enough):
        resolve("org/bert", progress=stop)
    assert whole(resolve("org/bert"), model)
