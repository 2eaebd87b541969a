"""The tunnel: downloads and uploads of tables and results, beside their descriptions (rest.md §8)."""
