"""The subcommands; each is a module, imported when it is called."""

from __future__ import annotations

from cyclopts import App

app = App(name="maxlake", help="An open MaxCompute Storage API service.")
app.command("maxlake.cli.serve:serve", help="Serve the Storage API from a directory.")
app.command("maxlake.cli.maintain:maintain", help="Merge small files, and remove what nobody reads any more.")
app.command(
    "maxlake.cli.record:record", help="Write down what clients and a service say, without its secrets."
)
app.command("maxlake.cli.demo:demo", help="Move real data through a real server, and check it.")
