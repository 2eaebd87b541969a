"""``maxlake maintain``: what the service does by itself now and then, at once."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from maxlake.cli.served import served_projects
from maxlake.lake.compaction import Merge
from maxlake.protocol import limits
from maxlake.service.maintenance import Plan, Report, Watch, survey
from maxlake.service.maintenance import maintain as maintain_project
from maxlake.service.project import Project
from maxlake.service.service import ServiceSettings


def maintain(
    *,
    root: Path,
    project: str | None = None,
    database: str | None = None,
    dry_run: bool = False,
    retention: float = limits.SNAPSHOT_RETENTION,
    blob_grace: float = limits.BLOB_GRACE,
    json: bool = False,
) -> None:
    """Merge small files, forget old versions, and remove files and blobs nobody reads any more.

    Safe while servers work on the same directory. Exits with 1 if something was left undone.

    Parameters
    ----------
    root
        Directory that is served.
    project
        Project to maintain; all of them if not given.
    database
        URL of the catalog's database; SQLite under ROOT if not given.
    dry_run
        Only tell what would be done.
    retention
        Seconds for which a version can be read after another has replaced it.
    blob_grace
        Seconds for which a blob is kept that no row refers to.
    json
        Write a JSON object a line for each project.
    """
    most = limits.MAX_MAINTENANCE_TIME
    for option, seconds, least in (
        ("retention", retention, 0),
        ("blob-grace", blob_grace, limits.MIN_BLOB_GRACE),
    ):
        if not least <= seconds <= most:
            sys.exit(f"maxlake maintain: --{option} must be from {least} to {most}, not {seconds}")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    tell = _tell_json if json else (_tell_richly if sys.stdout.isatty() else _tell_plainly)
    settings = ServiceSettings(snapshot_retention=retention, blob_grace=blob_grace)
    clean = True
    try:
        with served_projects("maintain", root, project, database, settings) as projects:
            for each in projects:
                report = _report(each, dry_run=dry_run)
                tell(report, dry_run)
                clean = clean and not report.errors
    except KeyboardInterrupt:
        sys.exit("maxlake maintain: interrupted; the next run goes on")
    if not clean:
        sys.exit(1)


def _report(project: Project, *, dry_run: bool) -> Report:
    now = datetime.now(UTC)
    if dry_run:
        return survey(project, now).report(project)
    with _progress() as watch:
        return maintain_project(project, now, watch=watch)


class _Bar(Watch):
    """Shows how much of what is to be merged is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("looking")

    def planned(self, plan: Plan) -> None:
        total = sum(merge.stored_bytes for merge in plan.merges)
        self._progress.update(self._task, description="merging", total=total)

    def advanced(self, merge: Merge) -> None:
        self._progress.advance(self._task, merge.stored_bytes)


@contextmanager
def _progress() -> Generator[Watch]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Bar(progress)


def _tell_json(report: Report, dry_run: bool) -> None:
    sys.stdout.write(msgspec.json.encode({"dry_run": dry_run, **msgspec.to_builtins(report)}).decode() + "\n")


def _totals(report: Report) -> list[tuple[str, int, int | None]]:
    return [
        ("versions forgotten", report.snapshots_expired, None),
        ("files removed", report.files_removed, report.bytes_removed),
        ("leftovers removed", report.orphans_removed, report.orphan_bytes),
        ("files of unreferenced blobs removed", report.blobs_removed, report.blob_bytes),
    ]


def _headline(report: Report, dry_run: bool) -> str:
    return f"project {report.project}" + (": nothing is changed, this would be done" if dry_run else "")


def _tell_plainly(report: Report, dry_run: bool) -> None:
    lines = [_headline(report, dry_run)]
    lines += [
        f"  {table.table}: {table.files} files merged into {table.merges}, "
        f"{decimal(table.bytes)} -> {decimal(table.bytes_after)}"
        for table in report.tables
    ]
    lines += [
        f"  {what}: {count}" + ("" if size is None else f" ({decimal(size)})")
        for what, count, size in _totals(report)
    ]
    lines += [f"  failed: {error}" for error in report.errors]
    sys.stdout.write("\n".join(lines) + "\n")


def _tell_richly(report: Report, dry_run: bool) -> None:
    console = Console()
    shown = Table(title=_headline(report, dry_run), title_justify="left")
    for column in ("", "files", "into", "bytes", "bytes after"):
        shown.add_column(column, justify="left" if not column else "right")
    for table in report.tables:
        sizes = (decimal(table.bytes), decimal(table.bytes_after))
        shown.add_row(table.table, str(table.files), str(table.merges), *sizes)
    if report.tables:
        shown.add_section()
    for what, count, size in _totals(report):
        shown.add_row(what, str(count), "", "" if size is None else decimal(size), "")
    console.print(shown)
    for error in report.errors:
        console.print(f"failed: {error}", style="red", markup=False)
