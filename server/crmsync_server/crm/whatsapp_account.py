"""The account at Meta, and the phone numbers that it sends from."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from crmsync_server.crm.http import Caller
from crmsync_server.crm.messaging import AccountFound, NumberFound
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply, mapping, mappings, text
from crmsync_server.crm.whatsapp_errors import INVALID_PARAMETER, trouble

_ACCOUNT_FIELDS = "id,name,owner_business_info,on_behalf_of_business_info"
_NUMBER_FIELDS = "id,display_phone_number,verified_name,quality_rating,status,name_status"
_PAGE = 100
_MOST_PAGES = 20
_QUALITIES = frozenset({"green", "yellow", "red"})
_UNUSABLE = frozenset({"BANNED", "DELETED", "DISCONNECTED", "MIGRATED", "PENDING", "UNVERIFIED"})
_APPROVED = frozenset({"APPROVED", "AVAILABLE_WITHOUT_REVIEW"})


class WhatsAppAccount:
    """One account, by Meta's id."""

    def __init__(self, caller: Caller, waba_id: str, business_id: str) -> None:
        """Take the account's calls and ids; business_id: for when Meta does not tell it."""
        self._caller = caller
        self._waba_id = waba_id
        self._business_id = business_id

    async def found(self) -> AccountFound | Trouble:
        """Read the account, without its numbers; raises CredentialsRefusedError."""
        if not self._waba_id:
            account = self._caller.account.crm
            msg = f"the option 'waba_id' of the {account} connection is missing"
            return Rejected("NO_WABA_ID", msg)
        told = await self._ask(f"/{self._waba_id}", _ACCOUNT_FIELDS)
        if isinstance(told, Postponed | Retry | Rejected):
            return told
        if text(told.get("id")).strip() != self._waba_id:
            return Retry("UNACCOUNTED", "WhatsApp's answer is about no account, or another one")
        name = text(told.get("name")).strip()
        return AccountFound(name, self._waba_id, self._owner(told), ())

    async def whole(self) -> AccountFound | Trouble:
        """Read the account with its numbers; raises CredentialsRefusedError."""
        found = await self.found()
        if not isinstance(found, AccountFound):
            return found
        numbers = await self._numbers()
        if isinstance(numbers, Postponed | Retry | Rejected):
            return numbers
        return AccountFound(found.name, found.waba_id, found.business_id, numbers)

    def _owner(self, told: Mapping[str, object]) -> str:
        owner, other = (
            text(mapping(told.get(name)).get("id")).strip()
            for name in ("owner_business_info", "on_behalf_of_business_info")
        )
        return owner or self._business_id or other

    async def _numbers(self) -> Sequence[NumberFound] | Trouble:
        numbers: dict[str, NumberFound] = {}
        page = {"limit": str(_PAGE)}
        for _ in range(_MOST_PAGES):
            told = await self._ask(f"/{self._waba_id}/phone_numbers", _NUMBER_FIELDS, page)
            if isinstance(told, Postponed | Retry | Rejected):
                return told
            if not isinstance(told.get("data"), list):
                return Retry("UNACCOUNTED", "WhatsApp's answer holds no list of phone numbers")
            numbers |= {one.id: one for one in map(_number, mappings(told["data"])) if one.id}
            paging = mapping(told.get("paging"))
            after = text(mapping(paging.get("cursors")).get("after"))
            if not after or not paging.get("next") or after == page.get("after"):
                break
            page = page | {"after": after}
        return [*numbers.values()]

    async def _ask(
        self, path: str, fields: str, more: Mapping[str, str] | None = None
    ) -> Mapping[str, object] | Trouble:
        """Ask for fields; for those that are shown unasked, where a version lacks one of them."""
        told = await self._answer(path, {"fields": fields, **(more or {})})
        if isinstance(told, Rejected) and told.code == str(INVALID_PARAMETER):
            return await self._answer(path, more or {})
        return told

    async def _answer(self, path: str, params: Mapping[str, str]) -> Mapping[str, object] | Trouble:
        reply = await self._caller.call("GET", path, buckets=(), params=params)
        if not isinstance(reply, Reply):
            return unanswered(reply)
        if reply.status == HTTPStatus.OK and "error" not in reply.fields:
            return reply.fields
        return trouble(reply, self._caller.tools.clock())


def _number(told: Mapping[str, object]) -> NumberFound:
    """Return a number; its id is empty where it has none."""
    quality = text(told.get("quality_rating")).strip().lower()
    name_standing = text(told.get("name_status")) or text(told.get("unified_cert_status"))
    return NumberFound(
        id=text(told.get("id")).strip(),
        display_number=text(told.get("display_phone_number")).strip(),
        verified_name=text(told.get("verified_name")).strip(),
        quality=quality if quality in _QUALITIES else "unknown",
        is_active=text(told.get("status")).strip().upper() not in _UNUSABLE,
        verified=name_standing.strip().upper() in _APPROVED,
    )
