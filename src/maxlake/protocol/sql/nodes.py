"""Nodes of the syntax tree that sqlglot has not, or has otherwise."""

from __future__ import annotations

from typing import ClassVar

from sqlglot import exp
from sqlglot.expressions.core import Expression


class LifecycleProperty(exp.Property):
    """``LIFECYCLE n``: days a table or partition lives after its last change."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True}


class AddColumns(Expression):
    """``ADD COLUMNS [IF NOT EXISTS] (...)``: sqlglot's own tree loses IF NOT EXISTS."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "exists": False}


class DropColumns(Expression):
    """``DROP COLUMNS a, b``: sqlglot's own takes the second name for an action of its own."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": True}


class ChangeColumn(Expression):
    """``CHANGE COLUMN this ...``: a new name, a comment, NULL, or a whole new definition."""

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True,
        "to": False,
        "comment": False,
        "allow_null": False,
        "definition": False,
    }


class ChangeOwner(Expression):
    """``CHANGEOWNER TO this``."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True}


class RenamePartition(Expression):
    """``PARTITION (...) RENAME TO PARTITION (...)``."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "to": True}


class Touch(Expression):
    """``TOUCH [PARTITION (...)]``."""

    arg_types: ClassVar[dict[str, bool]] = {"partition": False}


class Truncate(Expression):
    """``TRUNCATE TABLE this [PARTITION (...), ...]``."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expressions": False}


class DescribeTable(Expression):
    """``DESC [EXTENDED] this [PARTITION (...)]``."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "partition": False, "extended": False}


class Show(Expression):
    """``SHOW TABLES|SCHEMAS|PARTITIONS|CREATE TABLE ...``; ``what`` is the first of these words."""

    arg_types: ClassVar[dict[str, bool]] = {
        "what": True,
        "this": False,
        "partition": False,
        "db": False,
        "pattern": False,
    }


class Setting(Expression):
    """``SET this=expression``."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expression": True}
