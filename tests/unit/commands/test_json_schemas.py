# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from probed.commands import json_schemas

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "config/schema"
BROKEN = Path(__file__).parents[1] / "broken"


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / name).read_text()))


def data(path: Path) -> Any:
    """Read YAML as an editor would hand it to the schema: JSON knows text only as names."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize("name", sorted(json_schemas.schemas()))
def test_the_schema_files_are_up_to_date(name: str) -> None:
    told = f"{name} is stale: run 'python -m probed.commands.json_schemas config/schema'"
    assert (SCHEMAS / name).read_text() == json_schemas.schemas()[name], told


@pytest.mark.parametrize("name", sorted(json_schemas.schemas()))
def test_the_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(json_schemas.schemas()[name]))


def test_main_writes_the_schema_files(tmp_path: Path) -> None:
    assert json_schemas.main([str(tmp_path)]) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == json_schemas.schemas()


@pytest.mark.parametrize("path", [ROOT / "config/probed.yaml", BROKEN / "good/site.yaml"], ids=str)
def test_a_good_site_configuration_passes_its_schema(path: Path) -> None:
    validator("site.schema.json").validate(data(path))


@pytest.mark.parametrize(
    "path",
    [*sorted(ROOT.glob("probes/*/*.yaml")), BROKEN / "good/sample/sample.yaml"],
    ids=lambda path: path.stem,
)
def test_a_good_declaration_passes_its_schema(path: Path) -> None:
    validator("probe.schema.json").validate(data(path))


@pytest.mark.parametrize(
    "case",
    [
        "unknown_key",
        "unknown_key_in_metric",
        "missing_help",
        "no_programs",
        "number_for_text",
        "text_for_list",
        "help_of_two_lines",
        "empty_help",
        "unknown_type",
        "unknown_decoder",
        "metric_prefix",
        "own_metric",
        "label_le",
        "label_dunder",
        "program_name",
        "ring_in_megabytes",
        "empty_buckets",
        "constant_is_an_expression",
        "constant_is_a_fraction",
    ],
)
def test_the_schema_shows_a_mistake_in_a_declaration_to_an_editor(case: str) -> None:
    assert not validator("probe.schema.json").is_valid(data(BROKEN / f"shape/{case}/{case}.yaml"))


@pytest.mark.parametrize(
    "case",
    [
        "no_probes",
        "probes_as_a_list",
        "unknown_section",
        "no_addresses",
        "path_relative",
        "log_level",
        "rename_to_reserved",
    ],
)
def test_the_schema_shows_a_mistake_in_a_site_configuration_to_an_editor(case: str) -> None:
    assert not validator("site.schema.json").is_valid(data(BROKEN / f"sites/{case}.yaml"))
