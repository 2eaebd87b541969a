"""Messages of the block protocol: write sessions in mode BatchCompatible (wire.md §8.2)."""

from __future__ import annotations

import msgspec

from maxlake.protocol.enums import SessionStatus
from maxlake.protocol.messages.base import Message
from maxlake.protocol.messages.schema import ReadSchema
from maxlake.protocol.messages.write import CreateWriteSessionRequest, StreamAddress


class DynamicPartitionOptions(Message, frozen=True, kw_only=True):
    """What to do about partition values that come with the rows; -1 is the server's own limit."""

    invalid_strategy: str = "Exception"
    dynamic_partition_limit: int = -1


class CreateBlockSessionRequest(CreateWriteSessionRequest, frozen=True, kw_only=True):
    """TableCreateWriteSession of the block protocol; what it says about storing is the server's business."""

    dynamic_partition_options: DynamicPartitionOptions = msgspec.field(
        default_factory=DynamicPartitionOptions
    )
    enhance_write_check: bool = False


class BlockSession(Message, frozen=True, kw_only=True):
    """A session that takes blocks, as created and as asked for later. Blocks have numbers below the maximum.

    ``data_schema`` names the columns of every block: those of the partition keys the session leaves open
    come last. With ``enhance_write_check`` clients compare what commit messages say with what they sent.
    """

    session_id: str
    session_status: SessionStatus
    data_schema: ReadSchema
    max_block_number: int
    enhance_write_check: bool
    message: str = ""
    warning_message: str = ""


class BlockAddress(Message, frozen=True, kw_only=True):
    """Names one attempt at one block."""

    session_id: str
    block_number: int
    attempt_number: int

    @property
    def stream(self) -> StreamAddress:
        """The stream an attempt stands for: clients reserve quota in this name (wire.md §8.2)."""
        name = f"block-{self.block_number}-attempt-{self.attempt_number}"
        return StreamAddress(session_id=self.session_id, stream_id=name, stream_version=1)


class WriterStats(Message, frozen=True, kw_only=True):
    """What a commit message tells about the rows."""

    record_num: int


class CommitMessage(Message, frozen=True, kw_only=True):
    """The JSON text a written block is answered with. ``proof`` is ours: nobody can guess it."""

    block_number: int
    attempt_number: int
    writer_stats: WriterStats
    proof: str
