"""What the end of a run says about the examples."""

from collections import defaultdict
from collections.abc import Iterable

import pytest

#: The property of a test that ran a scene: the client, the group's number, whether it did what it shows.
RAN = "example"


def lines(ran: Iterable[tuple[str, int, bool]]) -> list[str]:
    """A line for each client: how many groups there are, and which did not do what the document shows.

    A group did if all of its scenes did.
    """
    groups: dict[str, dict[int, bool]] = defaultdict(dict)
    for client, number, as_shown in ran:
        groups[client][number] = as_shown and groups[client].get(number, True)
    return [_line(client, found) for client, found in sorted(groups.items())]


def _line(client: str, found: dict[int, bool]) -> str:
    others = ", ".join(str(number) for number, as_shown in sorted(found.items()) if not as_shown)
    count = f"documented examples with {client}: {sum(found.values())} of {len(found)} groups as shown"
    return count + (f", others: {others}" if others else "")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == RAN and report.when == "call"
    ]
    for line in lines(ran):
        terminalreporter.write_line(line)
