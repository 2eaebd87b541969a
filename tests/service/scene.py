"""One table and the calls on it, without HTTP."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa

from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    PreviewRequest,
    ReadAddress,
    ReadRowsRequest,
)
from maxlake.protocol.messages.write import (
    CommitRequest,
    CreateWriteSessionRequest,
    StreamAddress,
    WriteRowsRequest,
    WriteRowsResponse,
)
from maxlake.protocol.targets import TableTarget
from maxlake.service import (
    instances,
    read_sessions,
    rows,
    uploads,
    write_commits,
    write_sessions,
    write_streams,
)
from maxlake.service.project import Project

ME = "me"


class Scene:
    """A table ``t`` and shorthands for calls by one principal."""

    def __init__(
        self,
        project: Project,
        columns: str = "id bigint",
        partitions: str = "pt string",
        clauses: str = "",
        *,
        name: str = "t",
        exists: bool = False,
    ) -> None:
        self.project = project
        self.target = TableTarget(project.name, "default", name)
        clause = f" PARTITIONED BY ({partitions})" if partitions else ""
        assert exists or self.sql(f"CREATE TABLE {name} ({columns}){clause} {clauses};").succeeded

    def sql(self, query: str, uuid: str = "", principal: str = ME) -> instances.Instance:
        return instances.submit(
            self.project,
            task_name="SQL",
            query=query,
            settings={},
            uuid=uuid,
            priority=9,
            principal=principal,
        )

    def session(self, spec: str = "pt=a", **flags: Any) -> str:
        request = CreateWriteSessionRequest(partial_partition_spec=spec, flags=flags)
        return write_sessions.create(self.project, self.target, request, ME).session_id

    def stream(self, session: str, stream: str = "0", version: int = 0) -> StreamAddress:
        address = StreamAddress(session_id=session, stream_id=stream, stream_version=version)
        write_streams.create(self.project, self.target, address, ME)
        return address

    def write(self, address: StreamAddress, ids: list[int], retry_id: str = "") -> WriteRowsResponse:
        return self.write_table(address, pa.table({"id": pa.array(ids, pa.int64())}), retry_id)

    def write_table(self, address: StreamAddress, table: pa.Table, retry_id: str = "") -> WriteRowsResponse:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        request = WriteRowsRequest(stream=address, retry_id=retry_id)
        return uploads.write(self.project, self.target, request, io.BytesIO(sink.getvalue()), ME)

    def close(self, address: StreamAddress) -> None:
        write_streams.close(self.project, self.target, address, ME)

    def commit(self, session: str) -> None:
        write_commits.commit(self.project, self.target, session, CommitRequest(), ME)

    def append(self, ids: list[int], spec: str = "pt=a", **flags: Any) -> None:
        session = self.session(spec, **flags)
        address = self.stream(session)
        self.write(address, ids)
        self.close(address)
        self.commit(session)

    def ids(self, *partitions: str) -> list[int]:
        return self.rows(*partitions).column("id").to_pylist()

    def rows(self, *partitions: str) -> pa.Table:
        request = CreateReadSessionRequest(required_partitions=partitions)
        session = read_sessions.create(self.project, self.target, request, ME)
        address = ReadAddress(session_id=session.session_id)
        stream = rows.read(self.project, self.target, address, ReadRowsRequest(), ME)
        return pa.Table.from_batches(stream.batches, stream.schema)

    def preview(self, partition: str = "") -> list[int]:
        stream = rows.preview(self.project, self.target, PreviewRequest(partition=partition))
        return pa.Table.from_batches(stream.batches, stream.schema).column("id").to_pylist()
