# SPDX-License-Identifier: Apache-2.0
"""`make release` dates the changelog only when code, package and changelog agree."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from support.unit.packaging_scripts import packaging_script

DAY = date(2027, 1, 31)
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2026-11-21\n\n- The first.\n"


@pytest.fixture(scope="module")
def release() -> ModuleType:
    return packaging_script("release")


def checkout(root: Path, changelog: str = CHANGELOG, code: str = "0.2.0", package: str = "0.2.0") -> Path:
    for path, text in {
        "CHANGELOG.md": changelog,
        "daemon/probed/__init__.py": f'__version__ = "{code}"\n',
        "packaging/debian/changelog": f"probed ({package}) unstable; urgency=medium\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_unreleased_changes_get_version_and_day(release: ModuleType, tmp_path: Path) -> None:
    assert release.release(checkout(tmp_path), DAY) == "0.2.0"
    dated = CHANGELOG.replace("## [Unreleased]\n", "## [Unreleased]\n\n## [0.2.0] - 2027-01-31\n")
    assert (tmp_path / "CHANGELOG.md").read_text() == dated


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"package": "0.2.1"}, "has version 0.2.0, packaging/debian/changelog has 0.2.1"),
        ({"code": "0.1.0", "package": "0.1.0"}, "version 0.1.0 is released already"),
        ({"changelog": CHANGELOG.replace("### Added\n\n- A thing.\n\n", "")}, "no unreleased changes"),
        ({"changelog": CHANGELOG.replace("## [Unreleased]\n", "")}, "there is no heading"),
    ],
)
def test_versions_that_disagree_change_nothing(
    release: ModuleType, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    before = checkout(tmp_path, **changes).joinpath("CHANGELOG.md").read_text()
    with pytest.raises(release.ReleaseError, match=message):
        release.release(tmp_path, DAY)
    assert (tmp_path / "CHANGELOG.md").read_text() == before
