"""Zoho's path of notification channels: `/crm/v8/actions/watch`."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_channels import EVENTS, MODULE_ID, Channel, Channels
from crmsync_server.sandbox.zoho_columns import read_instant
from crmsync_server.sandbox.zoho_errors import (
    ZohoError,
    elements,
    invalid_data,
    mandatory,
    missing_param,
    not_an_object,
    read_body,
)
from crmsync_server.sandbox.zoho_organization import Organization

WATCH = "/crm/v8/actions/watch"
_MAX_CHANNELS = 100
_MAX_TOKEN = 50
_DEFAULT_LIFE = timedelta(hours=1)
_EVENTS = frozenset(f"Contacts.{word}" for word in ("all", *EVENTS))


class WatchPaths:
    """The handlers of channels."""

    def __init__(
        self, organization: Organization, channels: Channels, *, longest_seconds: float
    ) -> None:
        """Keep these channels, none of them longer than so many seconds."""
        self._organization = organization
        self._channels = channels
        self._longest = timedelta(seconds=longest_seconds)

    def routes(self) -> list[Route]:
        """Return the path, by method."""
        return [
            Route(WATCH, self.read, methods=["GET"]),
            Route(WATCH, self.enable, methods=["POST"]),
            Route(WATCH, self.replace, methods=["PUT"]),
            Route(WATCH, self.change, methods=["PATCH"]),
            Route(WATCH, self.disable, methods=["DELETE"]),
        ]

    async def read(self, request: Request) -> Response:
        """Return the channels that are open, or the one asked for; 204 if there are none."""
        wanted = request.query_params.get("channel_id")
        held = [one for key, one in self._channels.open().items() if wanted in {None, key}]
        if not held:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        info = {"per_page": 200, "page": 1, "count": len(held), "more_records": False}
        return JSONResponse({"watch": [self._shown(one) for one in held], "info": info})

    async def enable(self, request: Request) -> Response:
        """Open channels; one that exists is opened anew."""
        return await self._each(request, self._opened, HTTPStatus.CREATED)

    async def replace(self, request: Request) -> Response:
        """Set all that a channel is made of."""
        return await self._each(request, self._replaced, HTTPStatus.OK)

    async def change(self, request: Request) -> Response:
        """Set what is named of a channel; a new expiry renews it."""
        return await self._each(request, self._changed, HTTPStatus.OK)

    async def disable(self, request: Request) -> Response:
        """Close the channels that `channel_ids` names."""
        named = request.query_params.get("channel_ids")
        if not named:
            raise missing_param(name="channel_ids")
        results = []
        for channel_id in named.split(","):
            try:
                self._find(channel_id)
                del self._channels.channels[channel_id]
                results.append(_success("the channel was closed", {"channel_id": channel_id}))
            except ZohoError as error:
                results.append(error.as_json())
        return _answer(results, HTTPStatus.OK)

    async def _each(
        self, request: Request, make: Callable[[JsonObject, str, str], Channel], status: int
    ) -> Response:
        base_url = str(request.base_url).rstrip("/")
        results = []
        for number, item in enumerate(elements(await read_body(request), "watch", _MAX_CHANNELS)):
            path = f"$.watch[{number}]"
            try:
                if not isinstance(item, dict):
                    raise not_an_object(path, "watch")
                channel = make(item, path, base_url)
                self._channels.channels[channel.id] = channel
                results.append(_success("the channel is open", self._details(channel)))
            except ZohoError as error:
                results.append(error.as_json())
        return _answer(results, status)

    def _opened(self, item: JsonObject, path: str, base_url: str) -> Channel:
        for name in ("channel_id", "events", "notify_url"):
            if not item.get(name):
                raise mandatory(path, name)
        channel_id = str(item["channel_id"])
        if not channel_id.isdecimal():
            raise invalid_data(path, "channel_id", "a channel's id is a number")
        now = self._organization.now()
        until = now + min(_DEFAULT_LIFE, self._longest)
        blank = Channel(channel_id, (), "", until, None, with_values=False, base_url=base_url)
        return self._set(blank, item, path)

    def _replaced(self, item: JsonObject, path: str, base_url: str) -> Channel:
        self._find(str(item.get("channel_id")))
        return self._opened(item, path, base_url)

    def _changed(self, item: JsonObject, path: str, _: str) -> Channel:
        return self._set(self._find(str(item.get("channel_id"))), item, path)

    def _set(self, channel: Channel, item: JsonObject, path: str) -> Channel:
        events = item.get("events", list(channel.events))
        if not isinstance(events, list) or not set(map(str, events)) <= _EVENTS:
            raise invalid_data(path, "events", "an event is not known")
        url = str(item.get("notify_url", channel.url))
        if not url.startswith(("http://", "https://")):
            raise invalid_data(path, "notify_url", "expected an address")
        token = item.get("token", channel.token)
        if token is not None and (not isinstance(token, str) or len(token) > _MAX_TOKEN):
            raise invalid_data(path, "token", "too long", maximum_length=_MAX_TOKEN)
        values = item.get("return_affected_field_values", channel.with_values)
        return replace(
            channel,
            events=tuple(events),
            url=url,
            expires=self._expiry(channel, item, path),
            token=token,
            with_values=values is True,
        )

    def _expiry(self, channel: Channel, item: JsonObject, path: str) -> datetime:
        now = self._organization.now()
        if item.get("channel_expiry") is None:
            return channel.expires
        try:
            expires = read_instant(str(item["channel_expiry"]))
        except ValueError as error:
            raise invalid_data(path, "channel_expiry", str(error)) from error
        if not now < expires <= now + self._longest:
            message = "the expiry is in the past, or too far away"
            raise invalid_data(path, "channel_expiry", message)
        return expires

    def _find(self, channel_id: str) -> Channel:
        channel = self._channels.open().get(channel_id)
        if channel is None:
            details = {"channel_id": channel_id}
            raise ZohoError(400, "NOT_SUBSCRIBED", "the channel is not open", details)
        return channel

    def _details(self, channel: Channel) -> JsonObject:
        event = {
            "channel_expiry": self._organization.stamp(channel.expires),
            "resource_uri": f"{channel.base_url}/crm/v8/Contacts",
            "resource_id": MODULE_ID,
            "resource_name": "Contacts",
            "channel_id": channel.id,
        }
        return {"events": [event]}

    def _shown(self, channel: Channel) -> JsonObject:
        (event,) = self._details(channel)["events"]
        return {
            **event,
            "events": list(channel.events),
            "notify_url": channel.url,
            "token": channel.token,
            "return_affected_field_values": channel.with_values,
            "notify_on_related_action": False,
            "fields": None,
        }


def _answer(results: list[JsonObject], whole: int) -> Response:
    failed = any(one["status"] == "error" for one in results)
    return JSONResponse({"watch": results}, status_code=HTTPStatus.ACCEPTED if failed else whole)


def _success(message: str, details: JsonObject) -> JsonObject:
    return {"code": "SUCCESS", "details": details, "message": message, "status": "success"}
