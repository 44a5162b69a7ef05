"""Check that THIRD_PARTY_NOTICES.md names every package that webinfer needs at run time, with its licence.

Fails where one is missing, where its licence has changed, or where it is under the GPL or AGPL.
With ``--table`` prints the table to paste.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NOTICES = Path(__file__).resolve().parent.parent / "THIRD_PARTY_NOTICES.md"
REFUSED = re.compile(r"\bA?GPL|Affero|(?<!Lesser )General Public", re.IGNORECASE)
CLASSIFIER = "License :: OSI Approved :: "


def needed(name: str, seen: set[str]) -> Iterator[Distribution]:
    """Yield the distributions that ``name`` needs here, and theirs, each once; extras left out."""
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        key = canonicalize_name(requirement.name)
        if key in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(key)
        try:
            yield distribution(key)
        except PackageNotFoundError:
            sys.exit(f"{requirement.name} is not installed: run `make check`, which installs it.")
        yield from needed(key, seen)


def licence(package: Distribution) -> str:
    """Say a package's licence: its SPDX expression, else its first line on it, else its classifiers."""
    metadata = package.metadata.json
    stated = str(metadata.get("license_expression") or metadata.get("license") or "").strip()
    if stated and len(stated.splitlines()[0]) < 60:
        return stated.splitlines()[0].strip()
    classifiers = [text for text in metadata.get("classifier", []) if text.startswith(CLASSIFIER)]
    return ", ".join(text.removeprefix(CLASSIFIER) for text in classifiers)


def main() -> None:
    """Compare what is installed with what the notices say."""
    found = sorted((canonicalize_name(str(p.metadata["Name"])), licence(p)) for p in needed("webinfer", {"webinfer"}))
    rows = [f"| {name} | {terms} |" for name, terms in found]
    if "--table" in sys.argv[1:]:
        print("\n".join(rows))
        return
    refused = [f"{name} ({terms})" for name, terms in found if not terms or REFUSED.search(terms)]
    notices = NOTICES.read_text(encoding="utf-8")
    missing = [row for row in rows if row not in notices]
    if refused:
        sys.exit("Refused or unknown licences: " + ", ".join(refused))
    if missing:
        sys.exit(f"{NOTICES.name} lacks:\n" + "\n".join(missing))


if __name__ == "__main__":
    main()
