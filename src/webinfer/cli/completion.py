"""What a shell proposes for a model's name: those that can be listed, and those in the caches."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Iterator, MutableMapping

_ASKED = ("_WEBINFER_COMPLETE", "complete_bash")  # by typer's script for bash


def model_names(incomplete: str) -> list[str]:
    """Return the names of models that begin like this; none for what looks like a path, which shells know themselves.

    Args:
        incomplete: What was typed so far; what stands before its last comma is kept.
    """
    head, comma, begun = incomplete.rpartition(",")
    if begun.startswith(("/", ".", "~")):
        return []
    from webinfer.api.services.references import ready_references  # late: a command that only runs has no use for it

    names = sorted(set(ready_references()))
    return [f"{head}{comma}{name}" for name in names if name.startswith(begun)]


@contextlib.contextmanager
def as_bash_has_it(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Complete for bash, which takes words apart at their colons, and replaces only what stands behind the last.

    Args:
        environment: Of this process; words that were taken apart are put together in it.
    """
    if environment.get(_ASKED[0]) != _ASKED[1]:
        yield
        return
    kept, told = _rejoin(environment), io.StringIO()
    try:
        with contextlib.redirect_stdout(told):
            yield
    finally:
        lines = told.getvalue().splitlines()
        sys.stdout.write("".join(f"{line.removeprefix(kept)}\n" for line in lines))


def _rejoin(environment: MutableMapping[str, str]) -> str:
    """Put words together, and return what bash keeps of the one that is asked for."""
    try:
        apart, at = shlex.split(environment.get("COMP_WORDS", "")), int(environment.get("COMP_CWORD", ""))
    except ValueError:
        return ""  # a quotation that is not closed yet
    words: list[str] = []
    now, joined = 0, False
    for number, word in enumerate([*apart, ""]):  # the last is one that was not begun yet
        belongs = bool(words and word) and (word.startswith(":") or words[-1].endswith(":"))
        if belongs:
            words[-1] += word
        else:
            words.append(word)
        if number <= at:
            now, joined = len(words) - 1, belongs
    environment["COMP_WORDS"], environment["COMP_CWORD"] = shlex.join(words[:-1]), str(now)
    head, colon, _ = words[now].rpartition(":")
    return head + colon if joined else ""  # a shell may have been told to leave colons alone
