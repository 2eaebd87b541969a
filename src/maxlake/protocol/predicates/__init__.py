"""Predicates: the FilterPredicate of a read session, parsed and type-checked (wire.md §4.4)."""
