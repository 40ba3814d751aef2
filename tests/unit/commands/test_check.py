# SPDX-License-Identifier: Apache-2.0
"""What `probed check` takes a file for, where that needs no kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from probed.commands import check


@pytest.mark.parametrize("folder", ["probed", "elsewhere"])
def test_a_site_configuration_is_one_also_in_a_folder_of_its_name(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / folder / "probed.yaml"
    path.parent.mkdir()
    path.write_text("probe_directories: [.]\nprobes: {nothing:}\nlogs:\n")
    assert check.run([str(path)], "", host=False) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{path}:3: logs: unknown key; did you mean 'log'?")
