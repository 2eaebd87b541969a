"""Names of the protocol's own headers, spelled as on the wire (wire.md §2; lower case, drift.md A.19)."""

REQUEST_ID_HEADER = "x-odps-request-id"
RETRY_ID_HEADER = "odps-tunnel-retry-trace-id"
ROUTE_TOKEN_HEADER = "x-odps-max-storage-route-token"  # noqa: S105 - a header's name
WRITE_ACCESS_TOKEN_HEADER = "x-odps-max-storage-write-access-token"  # noqa: S105 - a header's name
