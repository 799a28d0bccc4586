"""The leads of a broker's CRM: registered once, asked for by id, by email, or by their day."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import blake2b

from crmsync_server.crm.leads import Cursor, LeadPage, LeadRecord, Registered, Signup, chosen
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply, mappings, text
from crmsync_server.crm.trading_calls import (
    PAGE,
    Trading,
    by_email,
    by_ids,
    created_since,
    portions,
)
from crmsync_server.crm.trading_replies import record, words

_DIGEST_BYTES = 12


class TradingLeads:
    """The leads of one account."""

    def __init__(self, trading: Trading) -> None:
        """Take the account's calls; nothing is called yet."""
        self._trading = trading

    async def register(
        self, signup: Signup, *, perhaps_sent: bool = False
    ) -> Registered | Trouble | Unknown:
        """Register a signup; see crm.leads. A lost answer is looked for once, at once."""
        if perhaps_sent:
            found = await self._held(signup.id)
            if found is not None:
                return found
        answer = await self._trading.register(_body(signup))
        if isinstance(answer, Reply):
            crm_lead_id = text(answer.fields.get("accountId")).strip()
            if crm_lead_id:
                url = text(answer.fields.get("url")).strip()
                return Registered(crm_lead_id, created=True, login_url=url)
            # Neither done nor refused: where it was taken, it is there now.
            answer = Unknown(f"the Trading CRM's answer names no account: {words(answer)}"[:500])
        if isinstance(answer, Unknown):
            return await self._settled(signup.id, answer)
        return unanswered(answer)

    def portions(self, ids: Sequence[str]) -> Sequence[Sequence[str]]:
        """Part ids, about a hundred to a call; see crm.leads."""
        return portions(ids)

    async def by_ids(self, ids: Sequence[str]) -> Sequence[LeadRecord] | Trouble:
        """Return the leads of these ids; see crm.leads."""
        wanted = frozenset(ids)
        told = await self._trading.ask(by_ids(ids))
        if not isinstance(told, Sequence):
            return told
        return [one for one in _records(told) if one.transaction_id in wanted]

    async def by_email(self, email: str) -> Sequence[LeadRecord] | Trouble:
        """Return the leads with this email; see crm.leads."""
        told = await self._trading.ask(by_email(email))
        if not isinstance(told, Sequence):
            return told
        key = _key(email)
        return [one for one in _records(told) if _key(one.email) == key]

    async def recent(self, since: date, cursor: Cursor) -> LeadPage | Trouble:
        """Return a page; see crm.leads. It is the last one when it is short.

        Whether the CRM counts from 0 or from 1 is not known: pages may overlap by one lead, which
        whoever reads them tells by its id. One that ignores the count brings the same page again.
        """
        skip = int(cursor.get("skip", 0))
        told = await self._trading.ask(created_since(since.isoformat(), skip))
        if not isinstance(told, Sequence):
            return told
        records = [*_records(told)]
        digest = _digest(records)
        if records and digest == cursor.get("page"):
            return Rejected("PAGING_IGNORED", "the Trading CRM shows the same page again and again")
        if len(told) < PAGE:
            return LeadPage(records)
        return LeadPage(records, {"skip": skip + len(told), "page": digest})

    async def _held(self, lead_id: str) -> Registered | Trouble | None:
        found = await self.by_ids([lead_id])
        if isinstance(found, Postponed | Retry | Rejected):
            return found
        held = chosen(found)
        return None if held is None else Registered(held.crm_lead_id, created=False)

    async def _settled(self, lead_id: str, lost: Unknown) -> Registered | Unknown:
        found = await self._held(lead_id)
        if isinstance(found, Registered):
            return Registered(found.crm_lead_id, created=True)
        return lost


def _records(told: Sequence[object]) -> Iterable[LeadRecord]:
    """Yield what an answer tells, each lead once."""
    seen = set()
    for account in mappings([*told]):
        found = record(account)
        if found is not None and found.crm_lead_id not in seen:
            seen.add(found.crm_lead_id)
            yield found


def _digest(records: Sequence[LeadRecord]) -> str:
    ids = "\0".join(one.crm_lead_id for one in records)
    return blake2b(ids.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).hexdigest()


def _key(email: str) -> str:
    return email.strip().lower()


def _body(signup: Signup) -> Mapping[str, str]:
    told = {
        "firstName": signup.first_name,
        "lastName": signup.last_name,
        "email": signup.email,
        "phone": signup.phone,
        "affiliateTransactionId": signup.id,
        "isoCountry": signup.country,
        "language": signup.language,
        "ip": signup.ip_address,
        "campaignId": signup.campaign_id,
        "tag": signup.tag,
    }
    return {name: value for name, value in told.items() if value}
