"""PyArrow ships no types: what it returns is checked at run time."""

from typing import Any

def __getattr__(name: str) -> Any: ...
