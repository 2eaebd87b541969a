"""How Sphinx builds the guide; `make docs` runs it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `from_code`

from maxlake import __version__

project = "maxlake"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "cyclopts.ext.sphinx"]
extensions += ["from_code.directives", "from_code.docstrings"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# What others document: types of the standard library, pyarrow and PyODPS.
nitpick_ignore_regex = [("py:.*", r"(?!maxlake\.).*")]

html_theme = "furo"
# Lines of examples are as long as the formatter lets them be.
html_theme_options = {"light_css_variables": {"code-font-size": "78%"}}
html_title = f"maxlake {release}"
html_show_copyright = False
html_show_sourcelink = False
