"""``python -m tools.pages``: write the pages."""

from pathlib import Path

from tools.pages import HEAD, PAGES

for name, render in PAGES.items():
    (Path("docs/reference") / f"{name}.md").write_text(render(HEAD))
