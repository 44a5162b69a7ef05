"""What the project promises of itself: a complete lock, a wheel that is never without its page, short files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hatch_build import PAGE, WEB, PageCheck

ROOT = Path(__file__).parent.parent
LONGEST = 500  # lines of a file


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return table


def pins() -> list[Requirement]:
    lines = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def declared() -> list[str]:
    group = [each for each in project()["dependency-groups"]["dev"] if isinstance(each, str)]
    return [*project()["project"]["dependencies"], *project()["project"]["optional-dependencies"]["bench"], *group]


def check(root: Path, version: str) -> None:
    PageCheck(str(root), {}, None, None, str(root), "wheel").initialize(version, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("text", declared())
def test_lock_pins_what_is_declared(text: str) -> None:
    requirement = Requirement(text)
    named = [pin for pin in pins() if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    assert named, "run `make lock`"
    assert all(str(pin.specifier).removeprefix("==") in requirement.specifier for pin in named)


def test_building_without_the_page_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make web"):
        check(tmp_path, "standard")


def test_building_with_half_a_page_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / WEB / "assets").mkdir(parents=True)
    (tmp_path / WEB / "index.html").touch()
    with pytest.raises(
        FileNotFoundError,
        match=r"lacks assets/page\.js, assets/lane\.js, report/report\.html, report/report\.js, runtime\.",
    ):
        check(tmp_path, "standard")


def test_building_with_the_whole_page_is_allowed(tmp_path: Path) -> None:
    for part in PAGE:
        (tmp_path / WEB / part).mkdir(parents=True)
    check(tmp_path, "standard")


def test_editable_install_may_come_before_the_page(tmp_path: Path) -> None:
    check(tmp_path, "editable")


def test_no_source_file_is_long() -> None:
    places = [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("web/src/**/*.ts")]
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in places}
    assert {str(path): length for path, length in lengths.items() if length > LONGEST} == {}


def test_every_module_has_its_tests_or_names_them() -> None:
    source, tests = ROOT / "src" / "webinfer", ROOT / "tests"
    covered: dict[str, list[str]] = tomllib.loads((tests / "coverage.toml").read_text(encoding="utf-8"))["covered"]
    modules = [path.relative_to(source) for path in source.rglob("*.py") if not path.name.startswith("__")]
    own = {module for module in modules if (tests / module.parent / f"test_{module.name}").exists()}
    named = {module for module in modules if any(module.as_posix() in (key, key + module.name) for key in covered)}
    folders = [key for key in covered if key.endswith("/")]
    below = {module for module in modules if any(module.as_posix().startswith(folder) for folder in folders)}
    assert sorted(set(modules) - own - named - below) == []
    assert [test for names in covered.values() for test in names if not (tests / test).exists()] == []
    assert [key for key in covered if not (source / key).exists()] == []
