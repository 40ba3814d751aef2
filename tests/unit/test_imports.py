# SPDX-License-Identifier: Apache-2.0
"""Imports point one way, and heavy or dangerous packages stay in one process (ARCHITECTURE.md)."""

import ast
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import probed

ROOT = Path(probed.__file__).parent

PURE = {
    "commands.doctor.report",
    "commands.doctor.rules",
    "commands.top.activity",
    "commands.top.cells",
    "commands.top.interval",
    "commands.top.layout",
    "commands.top.readings",
    "commands.top.tables",
    "commands.top.view",
    "config.declaration.base_units",
    "config.declaration.columns",
    "config.declaration.constants",
    "config.declaration.decoders",
    "config.declaration.histograms",
    "config.declaration.labels",
    "config.declaration.metrics",
    "config.declaration.probe",
    "config.declaration.scalars",
    "config.evidence.options",
    "config.folding.fold_defaults",
    "config.folding.fold_rules",
    "config.overrides",
    "errors",
    "evidence.log_rows",
    "evidence.redaction",
    "evidence.sample_budget",
    "exporter.arrays.dtypes",
    "exporter.arrays.key_index",
    "exporter.arrays.ndarray",
    "exporter.bpf.cgroup_keys",
    "exporter.bpf.map_deltas",
    "exporter.bpf.reading_schedule",
    "exporter.cgroup.attribution",
    "exporter.cgroup.bounded_names",
    "exporter.cgroup.pod_names",
    "exporter.exposition.family",
    "exporter.exposition.negotiation",
    "exporter.exposition.protobuf_page",
    "exporter.exposition.renderer",
    "exporter.exposition.varints",
    "exporter.histograms.exponential_buckets",
    "exporter.histograms.native_buckets",
    "exporter.http_server.messages",
    "exporter.http_server.token_bucket",
    "exporter.series.budget",
    "exporter.series.heavy_hitters",
    "exporter.series.key_cache",
    "exporter.series.label_sets",
    "exporter.series.scrapers",
    "exporter.series.start_times",
    "exporter.series.table",
    "exporter.series.values",
    "ipc.evidence_messages",
    "ipc.attach_points",
    "ipc.exporter_messages",
    "ipc.loader_messages",
    "ipc.manifest",
    "ipc.message",
    "loader.btf.equivalence",
    "loader.c_types",
    "loader.common.register_point",
    "loader.common.usdt_arguments",
    "loader.headers.c_names",
    "loader.host_check",
    "loader.resolve",
    "schema.json_schema",
    "schema.rules",
    "schema.structure",
    "schema.suggestions",
    "supervisor.options",
    "tail.arguments",
    "tail.filters",
    "tail.formats",
    "tail.options",
    "tail.rows",
    "text_width",
    "webconfig.file",
    "webconfig.listen_address",
    "webconfig.options",
    "webconfig.pem",
    "webconfig.settings",
}
"""Modules without side effects: no files, no processes, no sockets, no system calls."""

LOOKING_UP = "exporter.decoders.lookup"
"""Decoders that import it look names up on the host; the others touch nothing."""

TOUCHING = {
    "os",
    "pathlib",
    "subprocess",
    "socket",
    "select",
    "selectors",
    "mmap",
    "ctypes",
    "shutil",
    "tempfile",
}

ONLY = {
    "bcc": "loader",
    "numpy": "exporter",
    "prometheus_client": "exporter",
    "h11": "exporter",
    "bcrypt": "exporter",
    "curses": "commands",
}
"""Packages and the one folder that imports them."""


def modules() -> dict[str, set[str]]:
    """Return all modules by name below `probed`, each with its imports."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = imports(path)
    return found


def imports(path: Path) -> set[str]:
    """Return the full names of all imports anywhere in a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


MODULES = modules()


def own(name: str) -> set[str]:
    """Return a module's imports from `probed`, by name below `probed`."""
    below = {each.removeprefix("probed.") for each in MODULES[name] if each.startswith("probed.")}
    return below & set(MODULES)


def top(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", sorted(ONLY))
def test_a_heavy_package_is_imported_by_one_process_alone(package: str) -> None:
    users = {name for name, imported in MODULES.items() if package in top(imported)}
    assert users
    assert {name.split(".")[0] for name in users} == {ONLY[package]}


def pure_decoders() -> set[str]:
    """Return the modules of `exporter.decoders` that look nothing up."""
    names = {name for name in MODULES if name.startswith("exporter.decoders.")}
    return {name for name in names if LOOKING_UP not in own(name)} - {LOOKING_UP}


@pytest.mark.parametrize("name", sorted(PURE | pure_decoders()))
def test_a_pure_module_touches_nothing(name: str) -> None:
    assert not top(MODULES[name]) & TOUCHING


@pytest.mark.parametrize("folder", ["supervisor", "loader", "exporter"])
def test_no_process_imports_another(folder: str) -> None:
    others = {"supervisor", "loader", "exporter"} - {folder}
    for name in MODULES:
        if name.split(".")[0] == folder:
            assert not {each for each in own(name) if each.split(".")[0] in others}, name


def test_imports_have_no_cycle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path, name))
        if name not in done:
            for each in sorted(own(name)):
                visit(each, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


def public_classes() -> dict[str, list[str]]:
    """Return the modules that define each public class, by the name of the class."""
    found: dict[str, list[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    return found


def test_no_two_public_classes_have_one_name() -> None:
    shared = {name: modules for name, modules in public_classes().items() if len(modules) > 1}
    assert shared == {}


def test_an_import_keeps_the_name_of_its_module() -> None:
    """An alias such as ``import structure as shape`` gives one thing two names."""
    usual = {"numpy": "np"}
    aliases = [
        f"{path.relative_to(ROOT)}: {alias.name} as {alias.asname}"
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.asname and usual.get(alias.name) != alias.asname
    ]
    assert aliases == []


MOST_MODULES = 12
"""Most modules in one folder; decoders are exempt, with one in each file."""


def folder(name: str) -> str:
    """Return the folder of a module; a package's `__init__` belongs to the package."""
    return name if (ROOT / name.replace(".", "/")).is_dir() else name.rpartition(".")[0]


def test_no_folder_imports_one_that_imports_it() -> None:
    """`__main__` imports everything and is exempt."""
    below: dict[str, set[str]] = {}
    for name in set(MODULES) - {"__main__"}:
        below.setdefault(folder(name), set()).update(folder(each) for each in own(name))
    graph = {name: imported - {name} for name, imported in below.items()}
    assert list(TopologicalSorter(graph).static_order())


def test_a_folder_has_at_most_twelve_modules() -> None:
    modules = Counter(path.parent for path in ROOT.rglob("*.py") if path.name != "__init__.py")
    crowded = {str(path.relative_to(ROOT)): count for path, count in modules.items() if count > MOST_MODULES}
    assert set(crowded) <= {"exporter/decoders"}


@pytest.mark.parametrize(
    ("module", "kept_out"),
    [
        (
            "probed.supervisor.main",
            ["yaml", "numpy", "bcc", "prometheus_client", "hashlib", "ssl", "difflib", "pathlib", "ipaddress"],
        ),
        ("probed.exporter.main", ["yaml", "bcc", "bcrypt"]),
        ("probed.loader.__main__", ["numpy", "prometheus_client", "h11", "bcrypt", "ssl"]),
    ],
)
def test_a_process_holds_no_module_that_it_does_not_need(module: str, kept_out: list[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    path = f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); "
    loaded = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, check=True)
    assert not set(loaded.stdout.split()) & set(kept_out)
