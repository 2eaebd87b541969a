"""Statements against a project, without HTTP, until they have ended."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa

from maxlake.protocol.messages.read import CreateReadSessionRequest, ReadAddress, ReadInstanceRequest
from maxlake.protocol.targets import InstanceTarget
from maxlake.service import instance_sessions, instances
from maxlake.service.instances import Instance
from maxlake.service.project import Project

ME = "me"
#: Long enough for a machine that does other things, too.
PATIENCE = 120.0


class Sql:
    """Runs statements for one principal."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def begin(self, query: str, **settings: str) -> Instance:
        return instances.submit(
            self.project, task_name="SQL", query=query, settings=settings, uuid="", priority=9, principal=ME
        )

    def ended(self, instance: Instance) -> Instance:
        end = time.monotonic() + PATIENCE
        while not instance.status.ended:
            assert time.monotonic() < end, "the statement takes too long"
            time.sleep(0.02)
            instance = instances.get(self.project, instance.instance_id, ME)
        return instance

    def run(self, query: str, **settings: str) -> Instance:
        """Run a statement that must succeed."""
        instance = self.ended(self.begin(query, **settings))
        assert instance.succeeded, instance.result
        return instance

    def fail(self, query: str) -> str:
        """Run a statement that must fail; return its error."""
        instance = self.ended(self.begin(query))
        assert not instance.succeeded, query
        return instance.result

    def table(self, query: str) -> pa.Table:
        """Return the rows of a query, read through a session."""
        target = InstanceTarget(self.project.name, self.run(query).instance_id)
        session = instance_sessions.create(self.project, target, CreateReadSessionRequest(), ME)
        address = ReadAddress(session_id=session.session_id)
        stream = instance_sessions.read(self.project, target, address, ReadInstanceRequest(), ME)
        found = pa.Table.from_batches(stream.batches, stream.schema)
        assert found.num_rows == session.record_count
        return found

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.table(query).to_pylist()]

    def types(self, query: str) -> list[str]:
        return [column.type for column in self.run(query).columns]
