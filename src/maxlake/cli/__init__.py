"""The ``maxlake`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from maxlake.cli.app import app  # noqa: PLC0415 - the client alone is installed without it
    except ModuleNotFoundError as error:
        sys.exit(f"maxlake: {error.name} is not installed; pip install 'maxlake[server]' brings the command")
    app()
