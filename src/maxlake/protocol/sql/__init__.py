"""SQL text of the REST interface: the dialect and the statements. The only importer of sqlglot."""
