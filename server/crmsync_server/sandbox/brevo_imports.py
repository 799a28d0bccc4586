"""Brevo's asynchronous imports: accepted at once, applied later, accounted for in report files.

A completed import has not necessarily applied every row. Rows it left out are in its reports:
CSV files separated by semicolons, with the columns EMAIL, EXT_ID and SMS.
"""

import asyncio
import csv
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from crmsync_server.sandbox.brevo_account import Account, parse_list_ids
from crmsync_server.sandbox.brevo_errors import INVALID, MISSING, BrevoError
from crmsync_server.sandbox.brevo_records import EMAIL, EXT_ID, Change
from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.faults import FaultDial
from crmsync_server.sandbox.wire import JsonObject

REPORTS = {
    EMAIL: "duplicate_email_id",
    EXT_ID: "duplicate_ext_id",
    "SMS": "duplicate_phone_id",
    "WHATSAPP": "duplicate_whatsapp_id",
    "LANDLINE_NUMBER": "duplicate_landline_number_id",
}
INVALID_EMAILS = "invalid_emails"
SAME_CONTACT = "duplicate_contact_id"
REPORT_NAMES = (INVALID_EMAILS, SAME_CONTACT, *REPORTS.values())
_SOURCES = ("jsonBody", "fileBody", "fileUrl")
_ROWS_PER_TURN = 500
_NOTIFY_TIMEOUT_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ImportProcess:
    """One import, from its acceptance to its reports."""

    id: int
    account: Account
    rows: list[JsonObject]
    list_ids: list[int]
    update_existing: bool
    blanks_erase: bool
    email_blacklist: bool
    notify_url: str | None
    status: str = "queued"
    reports: dict[str, list[JsonObject]] = field(
        default_factory=lambda: {name: [] for name in REPORT_NAMES}
    )

    def report(self, name: str) -> str:
        """Return a report as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=";", lineterminator="\n")
        writer.writerow(["EMAIL", "EXT_ID", "SMS"])
        for row in self.reports[name]:
            attributes = row.get("attributes") or {}
            email = row.get(EMAIL) or attributes.get("EMAIL", "")
            writer.writerow([email, row.get(EXT_ID, ""), attributes.get("SMS", "")])
        return text.getvalue()


class Imports:
    """Accepts imports and applies them one after the other."""

    def __init__(
        self,
        faults: FaultDial,
        calls: CallLog,
        *,
        base_seconds: float,
        seconds_per_row: float,
    ) -> None:
        """Take this long over each import; the dial decides which rows are invalid."""
        self._faults = faults
        self._calls = calls
        self._base_seconds = base_seconds
        self._seconds_per_row = seconds_per_row
        self._processes: dict[int, ImportProcess] = {}
        self._lists = 2
        self._last_id = 0
        self._waiting: asyncio.Queue[ImportProcess] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to apply what is accepted, with what an earlier stop left unfinished."""
        self._waiting = asyncio.Queue()
        for process in self._processes.values():
            if process.status in {"queued", "in_process"}:
                self._waiting.put_nowait(process)
        self._worker = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        """Stop; what is unfinished waits for the next start."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
            if not self._worker.cancelled():
                self._worker.result()

    def clear(self) -> None:
        """Forget all imports; one under way applies no further row."""
        self._processes.clear()

    def find(self, process_id: int) -> ImportProcess:
        """Return an import.

        Raises:
            BrevoError: 404, there is none with this id.
        """
        if process_id not in self._processes:
            raise BrevoError(404, "Process ID does not exist")
        return self._processes[process_id]

    def submit(self, account: Account, body: JsonObject) -> ImportProcess:
        """Accept an import.

        Raises:
            BrevoError: 400, there is no list, or not one source of rows.
        """
        list_ids = self._list_ids(body)
        rows = _rows(body)
        self._last_id += 1
        process = ImportProcess(
            self._last_id,
            account,
            rows,
            list_ids,
            body.get("updateExistingContacts", True) is not False,
            body.get("emptyContactsAttributes", False) is True,
            body.get("emailBlacklist", False) is True,
            _notify_url(body),
        )
        self._processes[process.id] = process
        self._waiting.put_nowait(process)
        return process

    def _list_ids(self, body: JsonObject) -> list[int]:
        list_ids = parse_list_ids(body, "listIds")
        if list_ids:
            return list_ids
        if not isinstance(body.get("newList"), dict):
            raise BrevoError(400, "Either listIds or newList is required", code=MISSING)
        self._lists += 1
        return [self._lists]

    async def _loop(self) -> None:
        while True:
            process = await self._waiting.get()
            process.status = "in_process"
            await asyncio.sleep(self._base_seconds + self._seconds_per_row * len(process.rows))
            if process.id in self._processes:
                await self._finish(process)

    async def _finish(self, process: ImportProcess) -> None:
        if self._faults.happens(self._faults.settings.failed_import_rate):
            process.status = "failed"
        else:
            await self._apply(process)
            process.status = "completed"
        if not self._faults.happens(self._faults.settings.lost_notification_rate):
            await _notify(process)

    async def _apply(self, process: ImportProcess) -> None:
        seen: dict[int, str] = {}
        for number, row in enumerate(process.rows):
            if number % _ROWS_PER_TURN == 0:
                await asyncio.sleep(0)
            if process.id not in self._processes:
                return
            report = self._apply_row(process, row, seen)
            if report is not None:
                process.reports[report].append(row)

    def _apply_row(
        self, process: ImportProcess, row: JsonObject, seen: dict[int, str]
    ) -> str | None:
        """Apply a row, or return the name of the report that it belongs in."""
        account = process.account
        try:
            change = _change(process, row)
            contact = account.match(change)
        except BrevoError:
            return INVALID_EMAILS
        email = change.identifiers.get(EMAIL, "")
        if self._faults.rejects(email):
            return INVALID_EMAILS
        if contact is not None and contact.id in seen:
            return REPORTS[EMAIL] if seen[contact.id] == email else SAME_CONTACT
        taken = account.taken(contact, change)
        if taken:
            return REPORTS[taken[0]]
        if contact is None:
            contact = account.create(change)
            self._calls.records_created += 1
        elif process.update_existing:
            account.update(contact, change)
            self._calls.records_updated += 1
        seen[contact.id] = email
        return None


def _change(process: ImportProcess, row: JsonObject) -> Change:
    attributes = row.get("attributes") or {}
    if not process.blanks_erase:
        attributes = {name: value for name, value in attributes.items() if value not in ("", None)}
    said: dict[str, Any] = {"attributes": attributes, "listIds": process.list_ids}
    # Only an import that blacklists says anything about it: it never clears the flag.
    if process.email_blacklist:
        said["emailBlacklisted"] = True
    identifiers = {key: row[key] for key in (EMAIL, EXT_ID) if row.get(key)}
    return process.account.parse(said | identifiers)


def _notify_url(body: Mapping[str, Any]) -> str | None:
    url = body.get("notifyUrl")
    if url is None or isinstance(url, str):
        return url
    raise BrevoError(400, "notifyUrl should be a string", code=INVALID)


def _rows(body: Mapping[str, Any]) -> list[JsonObject]:
    sources = [name for name in _SOURCES if name in body]
    if len(sources) != 1:
        raise BrevoError(
            400, "Exactly one of jsonBody, fileBody and fileUrl is required", code=MISSING
        )
    source = body[sources[0]]
    if sources == ["fileUrl"]:
        raise BrevoError(400, "fileUrl is not fetched by the sandbox", code=INVALID)
    if sources == ["fileBody"]:
        return _parse_file(str(source))
    if not isinstance(source, list) or not all(_is_row(row) for row in source):
        raise BrevoError(400, "jsonBody should be a list of contacts", code=INVALID)
    return source


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("attributes") or {}, dict)


def _parse_file(text: str) -> list[JsonObject]:
    return [
        {
            EMAIL: row.pop("EMAIL", ""),
            EXT_ID: row.pop("EXT_ID", ""),
            "attributes": {name: value for name, value in row.items() if name and value},
        }
        for row in csv.DictReader(io.StringIO(text), delimiter=";")
    ]


async def _notify(process: ImportProcess) -> None:
    if process.notify_url is None:
        return
    body = {"id": process.id, "name": "import", "status": process.status}
    try:
        async with httpx.AsyncClient(timeout=_NOTIFY_TIMEOUT_SECONDS) as client:
            await client.post(process.notify_url, json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _log.warning("import %s: notifyUrl was not reached: %r", process.id, error)
