"""Records of an upsert, as PyODPS sends them: a table's columns, then five of the service's own."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.protocol.columns import OPERATION_COLUMN, Column
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.tunnel.decoders import RecordDecoder
from maxlake.protocol.tunnel.record_reader import RecordReader
from maxlake.protocol.types.model import Array, Kind, OdpsType, Simple

_BIGINT = Simple(Kind.BIGINT)
#: Versions that say which row of a key is the newest, what becomes of the row, and which columns it has.
_OWN: dict[str, OdpsType] = {
    "__version": _BIGINT,
    "__app_version": _BIGINT,
    OPERATION_COLUMN: Simple(Kind.TINYINT),
    "__key_cols": Array(_BIGINT),
    "__value_cols": Array(_BIGINT),
}
_OPERATION = list(_OWN).index(OPERATION_COLUMN)


class UpsertDecoder(RecordDecoder):
    """See ``BodyDecoder``: gives the columns and ``__operation``, as uploads to such tables have it.

    Rows count in the order they come, and have all columns: raises DATA_ERROR for those that say otherwise.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        names = [column.name for column in columns]
        types = [column.type for column in columns]
        self._reader = RecordReader([*names, *_OWN], [*types, *_OWN.values()])
        self._kept = [*range(len(names)), len(names) + _OPERATION]
        self._schema = pa.schema([self._reader.schema.field(i) for i in self._kept]).serialize().to_pybytes()

    def _uploaded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        own = batch.columns[-len(_OWN) :]
        for name, column in zip(_OWN, own, strict=True):
            if name != OPERATION_COLUMN and _says_something(column):
                raise BadRequestError(
                    ErrorCode.DATA_ERROR,
                    f"rows with a value of {name} are not served: upsert rows with all their columns, in the "
                    "order in which they count",
                )
        return batch.select(self._kept)


def _says_something(column: pa.Array) -> bool:
    if pa.types.is_nested(column.type):
        return bool(pc.any(pc.greater(pc.list_value_length(column), 0)).as_py())
    return column.null_count < len(column)
