"""Sphinx settings of the documentation; `make docs` builds it into docs/_build."""

from pathlib import Path

project = "Plait"
author = "The Plait authors"
copyright = author
release = version = (Path(__file__).parents[1] / "VERSION").read_text().strip()

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "requirements.lock"]
html_theme = "alabaster"
html_theme_options = {"description": "Service-mesh sidecars composed of Python plugins", "page_width": "1100px"}
