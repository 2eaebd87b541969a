"""Where the connection comes from, and what is said when it comes from nowhere."""

from collections.abc import Iterator

import pytest

import maxlake
from odps import options

NAMES = (
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ODPS_PROJECT_NAME",
    "ODPS_ENDPOINT",
)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    before = (options.account, options.default_project, options.endpoint, options.retry_times)
    options.account = options.default_project = options.endpoint = None
    options.retry_times = 0  # PyODPS asks the endpoint, where nobody listens
    yield
    options.account, options.default_project, options.endpoint, options.retry_times = before


def test_what_is_given_counts() -> None:
    odps = maxlake.connect("id", "secret", "p", "http://localhost:1/api")
    assert (odps.account.access_id, odps.project, odps.endpoint) == ("id", "p", "http://localhost:1/api")


def test_the_environment_says_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, ("id", "secret", "p", "http://localhost:1/api"), strict=True):
        monkeypatch.setenv(name, value)
    odps = maxlake.connect(project="other")
    assert (odps.account.access_id, odps.account.secret_access_key) == ("id", "secret")
    assert (odps.project, odps.endpoint) == ("other", "http://localhost:1/api")


def test_the_latest_entry_object_is_known() -> None:
    maxlake.connect("id", "secret", "p", "http://localhost:1/api")
    odps = maxlake.connect()
    assert (odps.account.access_id, odps.project, odps.endpoint) == ("id", "p", "http://localhost:1/api")


@pytest.mark.parametrize("missing", ["an access key", "a project", "an endpoint"])
def test_what_is_missing_is_named(missing: str) -> None:
    given = {
        "an access key": {"project": "p", "endpoint": "http://localhost:1"},
        "a project": {"access_id": "id", "secret": "secret", "endpoint": "http://localhost:1"},
        "an endpoint": {"access_id": "id", "secret": "secret", "project": "p"},
    }[missing]
    with pytest.raises(ValueError, match=rf"nothing says {missing} \(.*odps="):
        maxlake.connect(**given)
