# SPDX-License-Identifier: Apache-2.0
"""The documents' tables of decoders are those of the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from probed.commands import decoder_docs
from probed.commands.generated_text import renewed
from probed.config.decoders import DECODERS, DecoderName

ROOT = Path(__file__).parents[3]

DOCUMENTS = {"probes/README.md": decoder_docs.markdown, "packaging/man/probed-probe.5": decoder_docs.man}


@pytest.mark.parametrize(("name", "lines"), DOCUMENTS.items())
def test_the_tables_of_decoders_are_up_to_date(name: str, lines: Callable[[], Iterator[str]]) -> None:
    text = (ROOT / name).read_text()
    assert renewed(text, decoder_docs.SUBJECT, lines()) == text, f"the decoders in {name} are stale: run 'make schema'"


def test_main_renews_what_is_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- decoders: made by make schema -->\nold\n<!-- end of the decoders -->\nafter\n")
    assert decoder_docs.main([str(page)]) == 0
    first, _, *table, _, last = page.read_text().splitlines()
    assert (first, table, last) == ("before", list(decoder_docs.markdown()), "after")


def test_every_decoder_that_a_declaration_may_name_is_described() -> None:
    assert set(DECODERS) == set(get_args(DecoderName))
