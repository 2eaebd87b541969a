"""Sphinx extension: docstrings as readers of the guide need them."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from from_code.markdown import without_sources
from maxlake import client


def remove_sources(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: Any, lines: list[str]
) -> None:
    """Leave out references to the project's protocol notes."""
    lines[:] = without_sources("\n".join(lines)).split("\n")


def name_publicly(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contents: nodes.TextElement
) -> nodes.Node | None:
    """Link what a signature names by the module it is defined in to its public name."""
    module, _, name = node.get("reftarget", "").rpartition(".")
    if not module.startswith("maxlake.") or name not in client.__all__:
        return None
    target = f"{client.__name__}.{name}"
    python = env.domains.python_domain
    return python.resolve_xref(env, node["refdoc"], app.builder, "class", target, node, contents)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect both."""
    app.connect("autodoc-process-docstring", remove_sources)
    app.connect("missing-reference", name_publicly)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
