"""What is released can be installed, and its tests come with it."""

from __future__ import annotations

import re
from datetime import date

from kucoin_sync import __version__

from ..support.readmes import ROOT

HEADINGS = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)


def test_the_changelog_begins_with_this_version_and_its_date() -> None:
    version, day = HEADINGS[0].split()
    assert version == __version__
    assert date.fromisoformat(day.strip("()"))
