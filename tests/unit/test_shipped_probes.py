# SPDX-License-Identifier: Apache-2.0
"""The contract of every folder in probes/."""

import re
from pathlib import Path

import pytest

from probed.config import files
from probed.config.declaration.probe import check_together
from probed.config.site import Site
from probed.schema import strict_yaml

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path for path in (ROOT / "probes").iterdir() if path.is_dir() and path.name != "include")


def is_trace(folder: Path) -> bool:
    return bool(files.standalone_probe(folder, "").probe.columns)


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


def test_probes_are_found() -> None:
    assert len(FOLDERS) >= 3


def test_a_probe_is_three_files(folder: Path) -> None:
    assert {path.name for path in folder.iterdir() if path.suffix != ".o"} == {
        f"{folder.name}.yaml", f"{folder.name}.bpf.c", "README.md",
    }  # fmt: skip


def test_the_c_is_gpl_and_the_yaml_apache(folder: Path) -> None:
    source, yaml = folder / f"{folder.name}.bpf.c", folder / f"{folder.name}.yaml"
    assert source.read_text().startswith("// SPDX-License-Identifier: GPL-2.0-only\n")
    assert yaml.read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n")


def test_the_declaration_is_sound(folder: Path) -> None:
    assert files.standalone_probe(folder, "").probe.name == folder.name


def test_the_readme_explains_every_metric_and_label(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    for name, metric in files.standalone_probe(folder, "").probe.metrics.items():
        labels = f"{{{','.join(metric.labels)}}}" if metric.labels else ""
        assert f"`{name}{labels}`" in readme


def test_the_readme_explains_every_column(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", readme, re.MULTILINE)
    columns = files.standalone_probe(folder, "").probe.columns
    assert not columns or ", ".join(rows).replace("`", "").split(", ") == list(columns)


def test_the_readme_has_method_cost_and_limits(folder: Path) -> None:
    headings = re.findall(r"^## (.*)$", (folder / "README.md").read_text(), re.MULTILINE)
    method = "How it works" if is_trace(folder) else "How it counts"
    assert {method, "Cost", "Limits"} <= set(headings)


def test_every_program_says_the_arguments_of_its_attach_point(folder: Path) -> None:
    source = (folder / f"{folder.name}.bpf.c").read_text()
    for name, program in files.standalone_probe(folder, "").probe.programs.items():
        point = program.attach_point
        kind = point.kind.replace("_", " ")
        pattern = rf"\* {kind} {point.target}\((?:(?!\*/).)*\).*?\*/\nPROGRAM\({name}\)"
        assert re.search(pattern, source, re.DOTALL), name


def test_times_come_from_the_boot_clock(folder: Path) -> None:
    """Lifetimes are differences to start_boottime, and no step of the wall clock may be one. Source: bpf-helpers(7)."""
    source = (folder / f"{folder.name}.bpf.c").read_text()
    assert set(re.findall(r"\bbpf_ktime_\w+", source)) <= {"bpf_ktime_get_boot_ns"}


def test_the_shipped_probes_run_together() -> None:
    probes = [files.standalone_probe(folder, "").probe for folder in FOLDERS]
    assert check_together(probes) == []


def test_the_shipped_configuration_runs_four_and_names_the_others_in_comments() -> None:
    path = ROOT / "config/probed.yaml"
    configuration = strict_yaml.parse(Site, path.read_text(), str(path))
    assert set(configuration.probes) == {"cgroups", "process", "open_failures", "syscalls"}
    others = {folder.name for folder in FOLDERS if not is_trace(folder)} - set(configuration.probes)
    assert set(re.findall(r"^  # ([a-z_]+):$", path.read_text(), re.MULTILINE)) == others


def test_the_readme_s_probe_is_the_one_that_the_kernel_tests_run() -> None:
    """The example in README.md is the probe that `tests/kernel/test_own_probe.py` runs."""
    readme = (ROOT / "README.md").read_text()
    example = ROOT / "tests/kernel/probes/wakeups"
    assert (example / "wakeups.bpf.c").read_text() in readme
    assert (example / "wakeups.yaml").read_text() in readme
