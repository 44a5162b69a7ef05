"""A disk without room for a browser's profile.

Not marked as browser tests, which may not be skipped: a machine with browsers need not allow a small disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.chaos.disk import fill, small_disk
from tests.chaos.workload import Subject, make_subjects
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import BrowserNotFound, LaunchFailed


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 256 MB for temporary files, its path short enough for a browser's sockets."""
    with tempfile.TemporaryDirectory(prefix="wd-") as name, small_disk(Path(name) / "d", 250_000) as mounted:
        if mounted is None:
            pytest.skip("mounting a small disk takes Linux and its superuser")
        monkeypatch.setattr(tempfile, "tempdir", str(mounted))
        yield mounted
        monkeypatch.undo()


def _left(disk: Path) -> list[Path]:
    return list(disk.glob("webinfer-*"))


async def _is_right(model: AsyncModel, subject: Subject) -> bool:
    x = subject.draw(np.random.default_rng(2))
    return subject.is_right(x, (await model.run({"x": x})).outputs["y"])


@pytest.mark.parametrize("browser", ["embedded", "firefox"])
async def test_full_disk_is_a_launch_failure_that_says_what_to_do(disk: Path, tmp_path: Path, browser: str) -> None:
    try:
        find(browser)  # type: ignore[arg-type]
    except BrowserNotFound as error:
        pytest.skip(str(error))
    subject, *_ = make_subjects(tmp_path)
    accelerator = AsyncAccelerator(browser=browser, platform="wasm", launch_retries=0)
    try:
        filler = fill(disk)
        with pytest.raises(LaunchFailed, match=r"No space left.*TMPDIR"):
            await accelerator.start()
        assert not _left(disk)
        filler.unlink()
        model = await accelerator.load(subject.path)
        fill(disk)
        assert await _is_right(model, subject), "a browser that runs needs no more room"
        assert accelerator._pool is not None
        (browser_up,) = accelerator._pool.browsers.values()
        await browser_up._process.close()
        fill(disk)  # what that gave back
        with pytest.raises(LaunchFailed, match="No space left"):
            await _is_right(model, subject)
        filler.unlink()
        assert await _is_right(model, subject)
    finally:
        await accelerator.close()
    assert not _left(disk)
