"""Names that the translated text of a query and whoever runs it agree on."""

#: The DuckDB schema of the scans: qualified by it, none can be taken for a common table expression.
SCANS = "scans"
