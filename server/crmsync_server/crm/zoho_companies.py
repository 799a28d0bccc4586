"""A contact's company is another record in Zoho: it is found by its name, or made."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.outcomes import Outcome, Rejected
from crmsync_server.crm.replies import Reply, mapping, text
from crmsync_server.crm.zoho_calls import V8, Call, Zoho
from crmsync_server.crm.zoho_errors import code, entries, trouble
from crmsync_server.crm.zoho_limits import credits_for
from crmsync_server.crm.zoho_options import MAX_BATCH

_ACCOUNTS = f"{V8}/Accounts/upsert"
_NAME = "Account_Name"
_KEPT = 5_000
_MAX_AGE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a name was found to be: an account's id, or why it is none."""

    record_id: str
    why: str
    seen: datetime


class Companies:
    """The accounts of one organization, by name; remembered for ten minutes."""

    def __init__(self, zoho: Zoho, trigger: tuple[str, ...] | None) -> None:
        """Take the calls; trigger: the automations that making an account sets off."""
        self._zoho = zoho
        self._trigger = {} if trigger is None else {"trigger": list(trigger)}
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def record_id(self, name: str) -> str:
        """Return the id of an account that `find` has found; empty where it has none."""
        return self._known[name].record_id if name in self._known else ""

    def why(self, name: str) -> str:
        """Say why there is no account of this name."""
        return self._known[name].why if name in self._known else "not found"

    async def find(self, names: Iterable[str]) -> Faulted[Outcome] | None:
        """Find or make the accounts of these names, a call for a hundred that are not known.

        Raises CredentialsRefusedError.
        """
        now = self._zoho.now()
        wanted = [one for one in dict.fromkeys(names) if one and not self._is_fresh(one, now)]
        for start in range(0, len(wanted), MAX_BATCH):
            fault = await self._ask(wanted[start : start + MAX_BATCH])
            if fault is not None:
                return fault
        return None

    def _is_fresh(self, name: str, now: datetime) -> bool:
        known = self._known.get(name)
        return known is not None and now - known.seen < _MAX_AGE

    async def _ask(self, names: Sequence[str]) -> Faulted[Outcome] | None:
        records = [{_NAME: name} for name in names]
        json = {"data": records, "duplicate_check_fields": [_NAME], **self._trigger}
        reply = await self._zoho.call(
            Call("POST", _ACCOUNTS, credits_for(len(names)), json=json),
        )
        found = entries(reply) if isinstance(reply, Reply) else []
        if found:
            for name, entry in zip(names, found, strict=False):
                self._note(name, entry)
            return None
        why = trouble(reply, self._zoho.now())
        if not isinstance(why, Rejected) and not _is_refusal(reply):
            return Faulted(why)
        # The contact itself can be delivered all the same: there may be no such module.
        for name in names:
            self._note(name, {"code": why.code})
        return None

    def _note(self, name: str, entry: Mapping[str, object]) -> None:
        record_id = text(mapping(entry.get("details")).get("id"))
        good = code(entry) == "SUCCESS" and record_id
        self._known[name] = _Known(
            record_id if good else "", "" if good else code(entry) or "not found", self._zoho.now()
        )
        self._known.move_to_end(name)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)


def _is_refusal(reply: object) -> bool:
    """Tell whether Zoho takes no accounts at all, and would take none later."""
    if not isinstance(reply, Reply) or reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return False
    return HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
