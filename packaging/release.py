# SPDX-License-Identifier: Apache-2.0
"""`make release`: date the changelog for the version of code and Debian package, and print the tag command.

The script writes only if all three agree. Source of the changelog's form: https://keepachangelog.com/en/1.1.0.
"""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHANGELOG = "CHANGELOG.md"
CODE = "daemon/probed/__init__.py"
PACKAGE = "packaging/debian/changelog"
UNRELEASED = "## [Unreleased]\n"


class ReleaseError(Exception):
    """A release is impossible; the text has the reason and the remedy."""


def version_in(root: Path, path: str, pattern: str) -> str:
    """Return the version in a file. Raises ReleaseError without one."""
    found = re.search(pattern, (root / path).read_text())
    if found is None:
        raise ReleaseError(f"{path}: no version found; it is written as {pattern!r}")
    return found[1]


def dated(changelog: str, version: str, day: date) -> str:
    """Return the changelog with the unreleased changes under a version and a day. Raises ReleaseError."""
    if f"## [{version}]" in changelog:
        raise ReleaseError(
            f"{CHANGELOG}: version {version} is released already; raise the version in {CODE} and {PACKAGE}"
        )
    before, heading, after = changelog.partition(UNRELEASED)
    if not heading:
        raise ReleaseError(f"{CHANGELOG}: there is no heading {UNRELEASED.strip()!r}; add it above the newest version")
    if not after.partition("\n## ")[0].strip():
        raise ReleaseError(f"{CHANGELOG}: no unreleased changes; add the changes of version {version}")
    return f"{before}{heading}\n## [{version}] - {day.isoformat()}\n{after}"


def release(root: Path, day: date) -> str:
    """Date the changelog of a checkout; return the version. Raises ReleaseError, and then nothing was written."""
    code = version_in(root, CODE, r'__version__ = "([^"]+)"')
    package = version_in(root, PACKAGE, r"\Aprobed \(([^)]+)\)")
    if code != package:
        raise ReleaseError(f"{CODE} has version {code}, {PACKAGE} has {package}: make them equal")
    changelog = root / CHANGELOG
    changelog.write_text(dated(changelog.read_text(), code, day))
    return code


def main() -> int:
    """Release this checkout."""
    try:
        version = release(ROOT, date.today())
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"{CHANGELOG} is dated. Commit it, then: git tag --sign v{version} --message 'probed {version}'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
