"""Pages of a simulated Zoho's contacts: by number up to 2,000 records, then by token."""

import base64
import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request

from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_columns import read_instant
from crmsync_server.sandbox.zoho_errors import ZohoError, invalid_param
from crmsync_server.sandbox.zoho_organization import Organization
from crmsync_server.sandbox.zoho_table import ORDERS, Contact, Key, Table

MAX_PER_PAGE = 200
_MAX_BY_NUMBER = 2000
_MAX_BY_TOKEN = 100_000
_BEYOND_IDS = 2**64


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that is read page by page: its order, and since when its contacts changed."""

    sort_by: str
    descending: bool
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """How far a list was read: how many were, and the key of the last."""

    served: int = 0
    after: Key | None = None


class Pager:
    """Cuts pages out of a table."""

    def __init__(
        self,
        organization: Organization,
        *,
        token_seconds: float,
        tokens_shift: bool,
        inclusive: bool,
    ) -> None:
        """Cut pages of an organization's contacts.

        Args:
            organization: whose contacts they are.
            token_seconds: how long a page token holds.
            tokens_shift: whether a token is a position, so that contacts that move to the end of
                the list make the next page skip others; otherwise it goes on after the last one.
            inclusive: whether what changed at the very second of If-Modified-Since is listed.
        """
        self._organization = organization
        self._life = timedelta(seconds=token_seconds)
        self._tokens_shift = tokens_shift
        self._inclusive = inclusive
        self._kept: tuple[int, Listing, list[Key]] | None = None

    def page(
        self, table: Table, listing: Listing, place: Place, size: int
    ) -> tuple[list[Contact], Place | None]:
        """Return a page, and where the next one begins, if there is one."""
        keys, low = self._keys(table, listing)
        begins = Place(place.served) if self._tokens_shift else place
        found, more = _window(keys, low, size, begins, descending=listing.descending)
        contacts = [table.contacts[key[-1]] for key in found]  # type: ignore[index]
        following = Place(place.served + len(found), found[-1]) if found and more else None
        return contacts, following

    def changed_since(self, table: Table, since: datetime) -> bool:
        """Say whether any contact changed since then."""
        keys = table.order("Modified_Time")
        return self._first_since(keys, since) < len(keys)

    def token(self, listing: Listing, place: Place) -> tuple[str, str]:
        """Return the token of the next page, and when it expires, as printed."""
        expires = self._organization.now() + self._life
        key = [_plain(part) for part in place.after or ()]
        since = listing.since.isoformat() if listing.since else None
        parts = [listing.sort_by, listing.descending, since, place.served, key, expires.isoformat()]
        token = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()
        return token, self._organization.stamp(expires)

    def resume(self, token: str) -> tuple[Listing, Place]:
        """Return what a token stands for.

        Raises:
            ZohoError: 400, it is none, it expired, or the list ends here.
        """
        try:
            sort_by, descending, since, served, key, expires = json.loads(
                base64.urlsafe_b64decode(token)
            )
        except ValueError as error:
            raise invalid_param(name="page_token", message="the token is not known") from error
        if datetime.fromisoformat(expires) <= self._organization.now():
            details = {"param_name": "page_token"}
            raise ZohoError(400, "EXPIRED_VALUE", "the token has expired", details)
        if served >= _MAX_BY_TOKEN:
            limit = {"param_name": "page_token", "limit": _MAX_BY_TOKEN}
            raise ZohoError(400, "PAGINATION_LIMIT_EXCEEDED", "the list ends here", limit)
        listing = Listing(sort_by, descending, datetime.fromisoformat(since) if since else None)
        return listing, Place(served, tuple(_key_part(part) for part in key))

    def _keys(self, table: Table, listing: Listing) -> tuple[list[Key], int]:
        """Return the keys of a list, ascending, and where among them it begins."""
        if listing.since is None:
            return table.order(listing.sort_by), 0
        keys = table.order("Modified_Time")
        low = self._first_since(keys, listing.since)
        if listing.sort_by == "Modified_Time":
            return keys, low
        if self._kept is None or self._kept[:2] != (table.version, listing):
            key_of = ORDERS[listing.sort_by]
            chosen = sorted(key_of(table.contacts[key[-1]]) for key in keys[low:])  # type: ignore[index]
            self._kept = (table.version, listing, chosen)
        return self._kept[2], 0

    def _first_since(self, keys: list[Key], since: datetime) -> int:
        if self._inclusive:
            return bisect_left(keys, (since,))
        return bisect_right(keys, (since, _BEYOND_IDS))


def _window(
    keys: list[Key], low: int, size: int, place: Place, *, descending: bool
) -> tuple[list[Key], bool]:
    """Return the keys from `low` on that make a page, and whether there are more after them."""
    after = place.after
    if descending:
        high = bisect_left(keys, after) if after else len(keys) - place.served
        return keys[max(low, high - size) : max(low, high)][::-1], high - size > low
    begin = max(low, bisect_right(keys, after)) if after else low + place.served
    return keys[begin : begin + size], begin + size < len(keys)


def read_listing(request: Request) -> Listing:
    """Read the order of a list, and since when.

    Raises:
        ZohoError: 400, a parameter or the header will not do.
    """
    query = request.query_params
    sort_by, sort_order = query.get("sort_by", "id"), query.get("sort_order", "desc")
    if sort_by not in ORDERS:
        raise invalid_param(name="sort_by", message=f"expected one of {', '.join(ORDERS)}")
    if sort_order not in {"asc", "desc"}:
        raise invalid_param(name="sort_order", message="expected asc or desc")
    return Listing(sort_by, sort_order == "desc", read_since(request))


def read_since(request: Request) -> datetime | None:
    """Read If-Modified-Since, which Zoho takes in ISO 8601.

    Raises:
        ZohoError: 400, it is no instant, or has no offset.
    """
    header = request.headers.get("if-modified-since")
    try:
        return read_instant(header) if header else None
    except ValueError as error:
        details = {"header": "If-Modified-Since"}
        raise ZohoError(400, "INVALID_DATA", str(error), details) from error


def read_per_page(request: Request) -> int:
    """Read the size of a page.

    Raises:
        ZohoError: 400, it is no number from 1 to 200.
    """
    return _number(request, "per_page", MAX_PER_PAGE, MAX_PER_PAGE)


def read_page(request: Request, per_page: int, most: int = _MAX_BY_NUMBER) -> int:
    """Read the number of a page.

    Raises:
        ZohoError: 400, it is no number, or reaches beyond 2,000 records.
    """
    page = _number(request, "page", 1, _BEYOND_IDS)
    if page * per_page > most and (page - 1) * per_page >= most:
        details = {"param_name": "page", "limit": most}
        message = "a page by number reaches up to 2000 records; use page_token"
        raise ZohoError(400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED", message, details)
    return page


def info(page: int, per_page: int, count: int, *, more: bool) -> JsonObject:
    """Return what every list says of its page."""
    return {"per_page": per_page, "count": count, "page": page, "more_records": more}


def _number(request: Request, name: str, default: int, most: int) -> int:
    value = request.query_params.get(name, str(default))
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise invalid_param(name=name, message=f"expected a number from 1 to {most}")
    return int(value)


def _plain(part: datetime | int) -> str | int:
    return part.isoformat() if isinstance(part, datetime) else part


def _key_part(part: str | int) -> datetime | int:
    return datetime.fromisoformat(part) if isinstance(part, str) else part
