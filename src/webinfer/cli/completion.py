"""Shell completion of model names: known names, and models in the caches."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Iterator, MutableMapping

_BASH = ("_WEBINFER_COMPLETE", "complete_bash")  # variable and value that typer's script for bash sets


def model_names(incomplete: str) -> list[str]:
    """Return the names of models that start with some text. A path has none, because shells complete paths.

    Args:
        incomplete: What was typed so far. Text before its last comma stays.
    """
    head, comma, begun = incomplete.rpartition(",")
    if begun.startswith(("/", ".", "~")):
        return []
    from webinfer.api.services.references import ready_references  # imported late: most commands do not need it

    names = sorted(set(ready_references()))
    return [f"{head}{comma}{name}" for name in names if name.startswith(begun)]


@contextlib.contextmanager
def as_bash_has_it(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Adapt completion to bash, which splits words at colons and replaces only the text after the last colon.

    Args:
        environment: Environment variables of this process. The split words are joined in it.
    """
    if environment.get(_BASH[0]) != _BASH[1]:
        yield
        return
    # bash keeps the text up to the colon, so completions are printed without it.
    prefix, printed = _rejoin(environment), io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines()
        sys.stdout.write("".join(f"{line.removeprefix(prefix)}\n" for line in lines))


def _rejoin(environment: MutableMapping[str, str]) -> str:
    """Return the part of the current word that bash keeps, after joining the split words in the environment."""
    try:
        apart, at = shlex.split(environment.get("COMP_WORDS", "")), int(environment.get("COMP_CWORD", ""))
    except ValueError:
        return ""  # an open quotation mark
    words: list[str] = []
    now, joined = 0, False
    for number, word in enumerate([*apart, ""]):  # the last word is empty: it has not been started
        belongs = bool(words and word) and (word.startswith(":") or words[-1].endswith(":"))
        if belongs:
            words[-1] += word
        else:
            words.append(word)
        if number <= at:
            now, joined = len(words) - 1, belongs
    environment["COMP_WORDS"], environment["COMP_CWORD"] = shlex.join(words[:-1]), str(now)
    head, colon, _ = words[now].rpartition(":")
    return head + colon if joined else ""  # a shell may be configured not to split at colons
