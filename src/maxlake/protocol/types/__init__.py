"""ODPS types: values (model), text (text), on the wire (arrow), at rest (storage), taken in (ingest)."""
