"""Typed messages, one file per family."""
