"""How Sphinx makes the users' pages (`tox -e docs`)."""

project = "Tarmak"
project_copyright = "the Tarmak authors, Apache-2.0"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Tarmak"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
