"""The ``maxlake`` command. Each subcommand is a module, imported when it is called."""

from __future__ import annotations

from cyclopts import App

app = App(name="maxlake", help="An open MaxCompute Storage API service.")
app.command("maxlake.cli.serve:serve")
app.command("maxlake.cli.demo:demo")


def main() -> None:
    """Run the command line."""
    app()
