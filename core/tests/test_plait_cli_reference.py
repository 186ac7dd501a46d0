"""The page of commands and exit codes is what the code says."""

from pathlib import Path

from plait.cli import Exit
from plait.cli.reference import render

PAGE = Path(__file__).parents[2] / "docs/reference/commands.md"


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text() == render(), "run tools/reference"


def test_every_exit_code_is_documented() -> None:
    page = render()
    for code in Exit:
        assert f"| {int(code)} | {code.name} | {code.meaning} |" in page


def test_verbs_below_verbs_are_documented() -> None:
    assert "## `mesh config show`" in render()
    assert "| `--format {yaml,json}` | how it is written (default `yaml`) |" in render()
