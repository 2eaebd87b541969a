"""The faults that scenes at `Place.FAULTY` show, by the scene's name."""

from maxlake.testing.fault_proxy import Forward
from maxlake.testing.listener import Answer, ConnectionCut, Request


def first_upload_is_cut(request: Request, forward: Forward) -> Answer:
    """The service is gone while version 0 of a stream is being uploaded."""
    if request.action == "TableWrite" and request.parameters["StreamVersion"] == "0":
        raise ConnectionCut
    return forward(request)


def blob_is_corrupted(request: Request, forward: Forward) -> Answer:
    """A bit of a blob changes on its way to the service."""
    if request.action == "TableWriteBlob":
        request = request.with_body(bytes([request.body[0] ^ 1]) + request.body[1:])
    return forward(request)


def two_blobs_are_not_taken(request: Request, forward: Forward) -> Answer:
    """A service that takes a part of a batch, as ours never does (drift.md B.16)."""
    answer = forward(request)
    if request.action != "TableWriteBlob":
        return answer
    taken = answer.members["BlobReferences"][:-2]
    return answer.with_members(BlobReferences=taken, WarningMessage="2 blobs exceeded size limit")


FAULTS = {
    "upload_again_with_a_higher_version": first_upload_is_cut,
    "blob_corrupted_on_its_way": blob_is_corrupted,
    "batch_with_a_warning": two_blobs_are_not_taken,
}
