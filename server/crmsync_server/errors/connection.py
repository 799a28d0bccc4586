"""Why a connection cannot be found, made or called."""

from collections.abc import Sequence

from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    code_pb2,
    error_details_pb2,
)

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.caller import InvalidArgumentError, NotFoundError
from crmsync_server.errors.details import Violation, field_violations, resource

CONNECTION = "crmsync.v1.Connection"


class ConnectionNotFoundError(NotFoundError):
    """There is no connection of this id."""

    reason = error_reason_pb2.ERROR_REASON_CONNECTION_NOT_FOUND
    resource_type = CONNECTION


class ConnectionExistsError(CrmsyncError):
    """There is a connection to {crm} already: {connection_id}."""

    code = code_pb2.ALREADY_EXISTS
    reason = error_reason_pb2.ERROR_REASON_CONNECTION_EXISTS

    def __init__(self, connection_id: str, crm: str) -> None:
        """Name the connection that there is, and its CRM."""
        super().__init__(connection_id=connection_id, crm=crm)

    def details(self) -> Sequence[Message]:
        """Return the ResourceInfo."""
        return (resource(CONNECTION, self.metadata["connection_id"], self.message),)


class UrlNotAllowedError(InvalidArgumentError):
    """{field} leads to {host}, which this server may not call."""

    reason = error_reason_pb2.ERROR_REASON_URL_NOT_ALLOWED

    def __init__(self, field: str, host: str) -> None:
        """Name the field, such as `connection.base_url`, and the host, without its address."""
        super().__init__(field=field, host=host)

    def details(self) -> Sequence[Message]:
        """Return the BadRequest."""
        rule = "must be an address that this server may call"
        told = field_violations([Violation(self.metadata["field"], "url.not_allowed", rule)])
        return (error_details_pb2.BadRequest(field_violations=told),)
