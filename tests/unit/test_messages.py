# SPDX-License-Identifier: Apache-2.0
"""MESSAGE_IDs are a promise: different, well formed, and all of them told to operators."""

import re
from pathlib import Path

from probed import messages

README = Path(__file__).parents[2] / "packaging" / "README.md"
IDS = [text for name, text in vars(messages).items() if name.isupper()]


def test_message_ids_are_different_and_well_formed() -> None:
    assert len(set(IDS)) == len(IDS) > 0
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in IDS)


def test_operators_are_told_every_message_id_and_no_other() -> None:
    assert sorted(re.findall(r"\| ([0-9a-f]{32}) \|", README.read_text())) == sorted(IDS)
