"""SQL over planned files: a job for DuckDB, run in a process of its own (design.md §9)."""
