"""Names that the translated text of a query and whoever runs it agree on."""

#: The DuckDB schema of the scans: qualified by it, none can be taken for a common table expression.
SCANS = "scans"
#: Stands for the operation of a row of the table that several rows of MERGE's source are to change.
AMBIGUOUS_OPERATION = -1
