"""What the guide takes from the code when it is built: tables, and docstrings.

`directives` and `docstrings` are Sphinx extensions. The other modules make Markdown, without Sphinx's help.
"""
