"""The tunnel's Arrow: record batches alone. Both sides know their schema from the table, as PyODPS makes it.

It differs from what readers of the Storage API are sent (``arrow_type``) in decimals, and in the timestamps
of query results.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.tunnel.forms import to_forms
from maxlake.protocol.types.arrow import DAY_TIME, arrow_type, compose
from maxlake.protocol.types.model import Decimal, Kind, OdpsType, Simple
from maxlake.protocol.types.nested import with_children

#: A decimal without parameters.
_BARE = pa.decimal256(54, 18)
#: Digits of a decimal in 128 bits. Batches do not say how many are meant, and fewer need not do.
_DIGITS = 38


@dataclass(frozen=True)
class ArrowForm:
    """What one side takes a table's columns for."""

    #: The scale of a decimal declared with none: PyODPS takes 0 for not given, which is 18.
    whole_decimal_scale: int = 0
    #: Whether timestamps are seconds and nanoseconds: those of query results are, except inside other values.
    timestamps_in_parts: bool = False

    def column_type(self, t: OdpsType) -> pa.DataType:
        """Return the Arrow type of a column."""
        if self.timestamps_in_parts and t in (Simple(Kind.TIMESTAMP), Simple(Kind.TIMESTAMP_NTZ)):
            return DAY_TIME
        return self._type(t)

    def _type(self, t: OdpsType) -> pa.DataType:
        match t:
            case Decimal(precision=None):
                return _BARE
            case Decimal():
                return pa.decimal128(_DIGITS, t.digits[1] or self.whole_decimal_scale)
            case Simple(kind=Kind.DATETIME | Kind.TIMESTAMP | Kind.TIMESTAMP_NTZ):
                return arrow_type(t)
            case _:
                return compose(t, self._type, list_child="item")

    def to_wire(self, array: pa.Array, t: OdpsType) -> pa.Array:
        """Return a column of the read direction as it is sent.

        Raises BadRequestError DATA_ERROR for a decimal that has no room at the scale the reader takes.
        """
        return to_forms(array, t) if self.column_type(t) == DAY_TIME else self._to_wire(array, t)

    def _to_wire(self, array: pa.Array, t: OdpsType) -> pa.Array:
        nested = with_children(array, t, self._to_wire)
        return self._decimal(array, t) if nested is None else nested

    def _decimal(self, array: pa.Array, t: OdpsType) -> pa.Array:
        if not isinstance(t, Decimal):
            return array
        try:
            return array.cast(self._type(t))
        except pa.ArrowInvalid as error:
            raise BadRequestError(
                ErrorCode.DATA_ERROR,
                f"a {t} is too large for the tunnel's Arrow, where its scale is {self.whole_decimal_scale}; "
                "read records",
            ) from error
