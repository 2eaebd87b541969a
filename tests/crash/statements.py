"""Clients that run statements through all the deaths of their server, and what their tables may then hold.

Every statement writes its number into each of its rows, as many as ``source`` has.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

import pyarrow as pa

from maxlake.protocol.enums import InstanceStatus
from maxlake.protocol.messages.read import ReadAddress, ReadInstanceRequest
from maxlake.protocol.targets import InstanceTarget
from maxlake.service import instance_sessions
from maxlake.service.instances import Instance
from maxlake.service.project import Project
from maxlake.testing import LocalServer
from tests.crash.lives import GONE

ROWS = 3000
SET_UP = (
    "create table source (id bigint, k string)",
    f"insert into source select id, id % 3 from (select explode(sequence(1, {ROWS})) as id) numbers",
    "create table inserted (statement bigint, id bigint)",
    "create table overwritten (statement bigint, id bigint) partitioned by (k string)",
    "insert into overwritten select 0, id, k from source",
    "create table keyed (id bigint not null, statement bigint, primary key (id))",
    "insert into keyed select id, 0 from source",
)
#: What a worker that was killed alone leaves: the server tells of it and goes on.
WORKER_DIED = "ODPS-0010000"
_POLL = 0.02


class Kind(StrEnum):
    """What a client does all the time; each has a table of its own."""

    INSERT = "insert into inserted select {n}, id from source"
    OVERWRITE = "insert overwrite table overwritten select {n}, id, k from source"
    MERGE = (
        "merge into keyed using source on keyed.id = source.id when matched then update set statement = {n}"
    )
    CREATE = "create table made_{n} as select {n} as statement, id from source"
    SELECT = "select {n} as statement, id from source"


class Client:
    """Runs statements of one kind, one after the other."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.begun = 0

    def live(self, server: LocalServer) -> None:
        """Go on until the server is gone."""
        odps = server.odps()
        try:
            while True:
                self.run(odps)
        except GONE:
            return

    def run(self, odps: object) -> bool:
        """Run the next statement; False if its worker was killed."""
        self.begun += 1
        instance = odps.run_sql(self.kind.format(n=self.begun))  # type: ignore[attr-defined]
        while not instance.is_terminated():
            time.sleep(_POLL)
        if instance.is_successful():
            return True
        (error,) = instance.get_task_results().values()
        assert WORKER_DIED in str(error), error
        return False

    def succeeded(self, found: Sequence[Instance]) -> dict[int, Instance]:
        """Return those of this client's instances that say they have succeeded, by their number."""
        texts = {self.kind.format(n=number): number for number in range(1, self.begun + 1)}
        mine = [instance for instance in found if instance.query.rstrip(";") in texts]
        for instance in mine:
            assert instance.status in (InstanceStatus.SUCCESS, InstanceStatus.FAILED), instance
            assert instance.succeeded or WORKER_DIED in instance.result
        return {texts[each.query.rstrip(";")]: each for each in mine if each.succeeded}


class Tables:
    """What the tables of a project hold once its server is gone."""

    def __init__(self, project: Project, rows: Mapping[str, pa.Table]) -> None:
        self._project = project
        self._rows = rows

    def check(self, kind: Kind, succeeded: Mapping[int, Instance]) -> None:
        """Each statement that succeeded has left all of its rows, no other any."""
        match kind:
            case Kind.INSERT:
                assert self._counts("inserted") == dict.fromkeys(succeeded, ROWS)
            case Kind.OVERWRITE:
                assert self._counts("overwritten") == {max(succeeded, default=0): ROWS}
            case Kind.MERGE:
                assert self._counts("keyed") == {max(succeeded, default=0): ROWS}
            case Kind.CREATE:
                made = {name for name in self._rows if name.startswith("made_")}
                assert made == {f"made_{number}" for number in succeeded}
                for number in succeeded:
                    assert self._counts(f"made_{number}") == {number: ROWS}
            case Kind.SELECT:
                for number, instance in succeeded.items():
                    assert _counted(self._result(instance)) == {number: ROWS}

    def _counts(self, table: str) -> Counter[int]:
        return _counted(self._rows[table])

    def _result(self, instance: Instance) -> pa.Table:
        target = InstanceTarget(self._project.name, instance.instance_id)
        stream = instance_sessions.read(
            self._project, target, ReadAddress(), ReadInstanceRequest(), instance.owner
        )
        return pa.Table.from_batches(stream.batches, stream.schema)


def _counted(rows: pa.Table) -> Counter[int]:
    return Counter(rows["statement"].to_pylist())
