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
app.command("maxlake.cli.load:load", help="Load files into a table.")
app.command("maxlake.cli.dump:dump", help="Write a table into Parquet files.")
app.command("maxlake.cli.preview:preview", help="Show some rows of a table.")
app.command("maxlake.cli.tables:tables", help="List tables.")
app.command("maxlake.cli.sessions:sessions", help="List the sessions of what is served.")
app.command("maxlake.cli.doctor:doctor", help="Find out why reads and writes fail, and how to mend it.")
app.register_install_completion_command()
