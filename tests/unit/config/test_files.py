# SPDX-License-Identifier: Apache-2.0
"""Files to requests for the loader: found and missing files, and changes of the fingerprint."""

import json
import os
from pathlib import Path

import pytest

from probed.config import files
from probed.config.files import DeclaredProbe
from probed.errors import DeclarationError
from probed.ipc.loader_messages import Files, LoadRequest
from probed.schema import structure
from probed.schema.structure import Source

PROBE = """\
description: A probe.
programs:
  on_exit: {raw_tracepoint: sched_process_exit}
ring: {bytes: 4 KiB}
metrics:
  probed_NAME_total: {type: counter, help: Exits.}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with two probes, `one` and `two`, and a header of its own."""
    for name in ("one", "two"):
        (tmp_path / "probes" / name).mkdir(parents=True)
        (tmp_path / "probes" / name / f"{name}.yaml").write_text(PROBE.replace("NAME", name))
        (tmp_path / "probes" / name / f"{name}.bpf.c").write_text("// C\n")
    (tmp_path / "probes" / "include").mkdir()
    (tmp_path / "probes" / "include" / "probed.bpf.h").write_text("// header\n")
    (tmp_path / "probed.yaml").write_text("probe_directories: [probes]\nprobes: {one: {}, two: }\n")
    return tmp_path


def read(site: Path) -> dict[str, DeclaredProbe]:
    return files.declared_probes(*files.read_site(str(site / "probed.yaml")), btf="/btf")


def fingerprints(site: Path) -> dict[str, str]:
    return {name: each.request.fingerprint for name, each in read(site).items()}


def problems(site: Path) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        read(site)
    return str(caught.value).splitlines()


def test_every_wanted_probe_is_read_with_its_own_two_files(site: Path) -> None:
    probes = read(site)
    assert list(probes) == ["one", "two"]
    request = probes["two"].request
    assert (request.source.text, request.header.text) == ("// C\n", "// header\n")
    assert request.source.path == str(site / "probes/two/two.bpf.c")


def test_a_header_that_the_site_does_not_have_comes_with_probed(site: Path) -> None:
    (site / "probes/include/probed.bpf.h").unlink()
    assert "BPF_PERCPU_ARRAY" in read(site)["one"].request.header.text


def test_a_comment_in_the_yaml_is_no_change(site: Path) -> None:
    before = fingerprints(site)
    path = site / "probes/one/one.yaml"
    path.write_text("# a comment\n\n" + path.read_text())
    assert fingerprints(site) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("probes/one/one.yaml", "4 KiB", "8 KiB"),
        ("probes/one/one.yaml", "Exits.", "Ends."),
        ("probes/one/one.bpf.c", "// C", "// D"),
        ("probed.yaml", "one: {}", "one: {ring: {bytes: 16 KiB}}"),
        ("probed.yaml", "one: {}", "one: {metrics: {probed_one_total: {series: 10}}}"),
        ("probed.yaml", "one: {}", "one: {metrics: {probed_one_total: {idle_seconds: 10}}}"),
    ],
)
def test_a_change_of_one_probe_changes_only_its_fingerprint(site: Path, file: str, old: str, new: str) -> None:
    before = fingerprints(site)
    path = site / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    after = fingerprints(site)
    assert (after["one"] != before["one"], after["two"] == before["two"]) == (True, True)


def test_a_site_wide_setting_changes_the_fingerprints_of_the_probes_with_the_label(site: Path) -> None:
    label = "{type: counter, help: Exits., labels: {comm: {field: comm, decoder: comm}}}"
    (site / "probes/one/one.yaml").write_text(
        PROBE.replace("{type: counter, help: Exits.}", label).replace("NAME", "one")
    )
    before = fingerprints(site)
    configuration = site / "probed.yaml"
    text = configuration.read_text()
    configuration.write_text(text + "fold: {comm: [{match: a, drop: true}]}\n")
    folded = fingerprints(site)
    assert (folded["one"] != before["one"], folded["two"] == before["two"]) == (True, True)
    configuration.write_text(text + "series: {budget: 10}\n")
    assert not set(before.values()) & set(fingerprints(site).values())


def test_a_folded_label_that_no_probe_has_is_a_problem_of_the_site(site: Path) -> None:
    (site / "probed.yaml").write_text((site / "probed.yaml").read_text() + "fold: {unit: [{match: a, drop: true}]}\n")
    (line,) = problems(site)
    assert line == f"{site}/probed.yaml:3: fold.unit: no probe that runs here has a label 'unit'; there are none"


def test_a_lone_probe_has_the_defaults(site: Path) -> None:
    metric = files.standalone_probe(site / "probes/one", "/btf").probe.metrics["probed_one_total"]
    assert (metric.series, metric.idle_seconds) == (1000, 3600.0)


def test_the_header_changes_every_probe(site: Path) -> None:
    before = fingerprints(site)
    (site / "probes/include/probed.bpf.h").write_text("// other\n")
    assert not set(before.values()) & set(fingerprints(site).values())


def test_an_unknown_probe_is_said_at_the_site_s_line_with_a_near_name(site: Path) -> None:
    (site / "probed.yaml").write_text("probe_directories: [probes]\nprobes:\n  one:\n  tow:\n")
    (line,) = problems(site)
    assert line.startswith(f"{site}/probed.yaml:4: probes.tow: no probe 'tow': expected tow/tow.yaml in {site}/probes")
    assert line.endswith("did you mean 'two'?")


def test_all_problems_of_all_files_come_at_once(site: Path) -> None:
    (site / "probes/one/one.bpf.c").unlink()
    (site / "probes/one/one.yaml").write_text(PROBE.replace("counter", "conter").replace("NAME", "one"))
    (site / "probes/two/two.bpf.c").write_bytes(b"\xff")
    lines = problems(site)
    assert [line.removeprefix(f"{site}/probes/").split(" ")[0] for line in lines] == [
        "one/one.bpf.c:", "one/one.yaml:6:", "two/two.bpf.c:",
    ]  # fmt: skip
    assert "did you mean 'counter'" in lines[1]


@pytest.mark.parametrize(
    "file", ["probed.yaml", "probes/one/one.yaml", "probes/two/two.bpf.c", "probes/include/probed.bpf.h"]
)
def test_a_file_to_which_every_user_may_write_is_refused(site: Path, file: str) -> None:
    (site / file).chmod(0o666)
    assert problems(site) == [
        f"{site / file}: every user may write to {site / file}, and so run code in the kernel: chmod o-w {site / file}"
    ]


def test_two_probes_must_not_share_a_metric(site: Path) -> None:
    (site / "probes/two/two.yaml").write_text(PROBE.replace("NAME", "one"))
    assert any("probed_one_total" in line for line in problems(site))


def test_a_missing_configuration_says_how_to_name_another(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"cannot be read: No such file or directory; .*--config\.file"):
        files.read_site(str(tmp_path / "none.yaml"))


def test_a_folder_whose_name_is_not_utf_8_has_requests(site: Path) -> None:
    odd = site.with_name(os.fsdecode(b"caf\xe9"))
    site.rename(odd)
    request = read(odd)["one"].request
    assert request.source.path == str(odd / "probes/one/one.bpf.c")
    assert structure.build(LoadRequest, json.loads(json.dumps(structure.to_data(request))), Source("x")) == request


def test_a_path_of_the_kernels_types_may_be_no_utf_8(site: Path) -> None:
    odd = os.fsdecode(b"/caf\xe9")
    probes = files.declared_probes(*files.read_site(str(site / "probed.yaml")), btf=odd)
    assert probes["one"].request.fingerprint != read(site)["one"].request.fingerprint


@pytest.mark.parametrize("name", ["one.bpf.c", "one.yaml"])
def test_files_that_no_message_holds_are_refused_at_the_largest(site: Path, name: str) -> None:
    path = site / "probes/one" / name
    comment = "// comment\n" if name.endswith("c") else "# comment\n"
    path.write_text(path.read_text() + comment * 30_000)
    (problem,) = problems(site)
    assert problem.startswith(f"{path}: is too large: with the probe's other files")
    assert "256 KiB are the most" in problem


TRACE = """\
description: Single execs.
programs:
  on_exec: {raw_tracepoint: sched_process_exec}
ring: {bytes: 64 KiB}
columns:
  comm: {field: comm, decoder: comm, width: 15}
"""


@pytest.fixture
def traced(site: Path) -> Path:
    """A site whose probe directory also has the trace probe `rows`."""
    (site / "probes/rows").mkdir()
    (site / "probes/rows/rows.yaml").write_text(TRACE)
    (site / "probes/rows/rows.bpf.c").write_text("// C\n")
    return site


def test_a_trace_probe_is_found_in_the_site_s_directories_and_among_the_shipped(traced: Path) -> None:
    config = str(traced / "probed.yaml")
    assert list(files.trace_probe("rows", Files(config, "/btf")).probe.columns) == ["comm"]
    assert files.trace_probe("execs", Files(config, "/btf")).request.declaration.path == str(
        files.INSTALLED[0] / "execs/execs.yaml"
    )
    assert files.trace_probe("execs", Files(str(traced / "absent.yaml"), "/btf")).probe.name == "execs"


def test_a_wrong_name_of_a_trace_probe_gets_the_right_ones(traced: Path) -> None:
    with pytest.raises(
        DeclarationError, match=r"no trace probe has this name; there: .*execs.*rows; did you mean 'rows'"
    ):
        files.trace_probe("row", Files(str(traced / "probed.yaml"), "/btf"))


def test_a_probe_with_metrics_is_no_trace_probe(traced: Path) -> None:
    with pytest.raises(DeclarationError, match="only a trace probe, with columns, can be tailed"):
        files.trace_probe("one", Files(str(traced / "probed.yaml"), "/btf"))


def test_a_trace_probe_that_any_user_could_replace_is_refused(traced: Path) -> None:
    (traced / "probes/rows/rows.bpf.c").chmod(0o666)
    with pytest.raises(DeclarationError, match=r"rows\.bpf\.c"):
        files.trace_probe("rows", Files(str(traced / "probed.yaml"), "/btf"))


def test_the_daemon_s_configuration_names_no_trace_probe(traced: Path) -> None:
    (traced / "probed.yaml").write_text("probe_directories: [probes]\nprobes: {one: {}, rows: {}}\n")
    (line,) = problems(traced)
    assert "probes.rows: a trace probe does not run in the daemon; remove it, and run 'probed tail'" in line


def test_trace_probes_are_listed_by_name(traced: Path) -> None:
    assert [probe.name for probe in files.trace_probes([traced / "probes", *files.INSTALLED])][-1] == "rows"
