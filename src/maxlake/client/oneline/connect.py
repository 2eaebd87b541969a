"""Whom to talk to, for callers without a PyODPS entry object at hand."""

from __future__ import annotations

import os
from typing import Any

from odps.models import Instance, Table

from maxlake.client.storage_api_arrow import StorageApiArrowClient
from odps import ODPS, options

#: The vendor's names for an access key; the rest are PyODPS'.
_ACCESS_ID = "ALIBABA_CLOUD_ACCESS_KEY_ID"
_SECRET = "ALIBABA_CLOUD_ACCESS_KEY_SECRET"  # noqa: S105 - a variable's name
_PROJECT = "ODPS_PROJECT_NAME"
_ENDPOINT = "ODPS_ENDPOINT"
_TEMPORARY = ("ODPS_STS_TOKEN", "ODPS_STS_ACCOUNT_FILE", "ODPS_BEARER_TOKEN", "ODPS_BEARER_TOKEN_FILE")


def connect(
    access_id: str | None = None,
    secret: str | None = None,
    project: str | None = None,
    endpoint: str | None = None,
    **more: Any,
) -> ODPS:
    """Return a PyODPS entry object; what is not given comes from PyODPS' options, then the environment.

    PyODPS' options hold what the latest entry object was made with. The environment is
    ``ALIBABA_CLOUD_ACCESS_KEY_ID`` and ``ALIBABA_CLOUD_ACCESS_KEY_SECRET`` (or a temporary account of
    PyODPS, such as ``ODPS_STS_TOKEN``), ``ODPS_PROJECT_NAME`` and ``ODPS_ENDPOINT``. ``more`` goes to
    ``odps.ODPS``; its ``quota_name`` goes with every read and write. Raises ``ValueError`` that names what is
    missing everywhere.
    """
    if access_id is None and options.account is None:
        access_id, secret = os.environ.get(_ACCESS_ID), os.environ.get(_SECRET)
    project = project or options.default_project or os.environ.get(_PROJECT)
    endpoint = endpoint or options.endpoint or os.environ.get(_ENDPOINT)
    has_account = bool(access_id and secret) or options.account is not None or "account" in more
    found = {
        f"an access key (access_id and secret, or {_ACCESS_ID} and {_SECRET})": has_account
        or any(name in os.environ for name in _TEMPORARY),
        f"a project (project, or {_PROJECT})": project,
        f"an endpoint (endpoint, or {_ENDPOINT})": endpoint,
    }
    missing = [what for what, value in found.items() if not value]
    if missing:
        raise ValueError(f"nothing says {', '.join(missing)}; or pass odps=, a PyODPS entry object")
    return ODPS(access_id, secret, project, endpoint, **more)


def client_of(table: str | Table | Instance, odps: ODPS | None) -> StorageApiArrowClient:
    """Return a client for a table, by name or as PyODPS' object, or for an instance's result.

    A name may say project and schema, ``project.schema.table``. Without ``odps`` the connection is that of
    the object, else of ``connect()``.
    """
    if isinstance(table, str):
        odps = odps or connect()
        return StorageApiArrowClient(odps, odps.get_table(table), quota_name=odps.quota_name)
    connected: Any = odps or table.odps
    return StorageApiArrowClient(connected, table, quota_name=connected.quota_name)
