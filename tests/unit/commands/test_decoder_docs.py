# SPDX-License-Identifier: Apache-2.0
"""The documents' tables of decoders are those of the code."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from probed.commands import decoder_docs
from probed.config.declaration.columns import OF_COLUMNS, ColumnDecoderName
from probed.config.declaration.decoders import DECODERS, DecoderName, UnitDecoderName

ROOT = Path(__file__).parents[3]

DOCUMENTS = ("probes/README.md", "packaging/man/probed-probe.5")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_tables_of_decoders_are_up_to_date(name: str) -> None:
    text = (ROOT / name).read_text()
    renewed = decoder_docs.with_tables(text, is_markdown=name.endswith(".md"))
    assert renewed == text, f"the decoders in {name} are stale: run 'make schema'"


def test_main_renews_what_is_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    parts = [
        f"<!-- {subject}: made by make schema -->\nold\n<!-- end of the {subject} -->\n"
        for subject in decoder_docs.TABLES
    ]
    page.write_text("before\n" + "".join(parts) + "after\n")
    assert decoder_docs.main([str(page)]) == 0
    first, *lines, last = page.read_text().splitlines()
    tables = [decoder_docs.markdown(decoders) for decoders in decoder_docs.TABLES.values()]
    assert (first, last) == ("before", "after")
    assert [line for line in lines if not line.startswith("<!--")] == [line for table in tables for line in table]


def test_every_decoder_that_a_declaration_may_name_is_described() -> None:
    assert set(DECODERS) == set(get_args(DecoderName))


def test_a_column_may_name_its_decoders_and_those_of_labels_that_take_no_argument_or_a_table() -> None:
    of_labels = {name for name, decoder in DECODERS.items() if not decoder.argument or name == "enum"}
    names_of_containers = set(get_args(UnitDecoderName)) - {"pod_uid"}
    assert set(get_args(ColumnDecoderName)) == set(OF_COLUMNS) | (of_labels - names_of_containers)
