"""Reading what a failed call says."""

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    error_details_pb2,
    status_pb2,
)

from crmsync_client import Failure, Violation
from crmsync_client.errors import is_passing


def _error(code: grpc.StatusCode, *details: any_pb2.Any) -> grpc.aio.AioRpcError:
    status = status_pb2.Status(code=code.value[0], message="in words", details=details)
    packed = (("grpc-status-details-bin", status.SerializeToString()),)
    trailers = grpc.aio.Metadata(*packed if details else ())
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, "in words", "")


def _packed(detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _info(reason: str, **metadata: str) -> any_pb2.Any:
    return _packed(error_details_pb2.ErrorInfo(reason=reason, domain="crmsync", metadata=metadata))


def test_a_failure_has_its_reason_and_what_it_is_about() -> None:
    """Programs go by the reason, not by the sentence."""
    error = _error(grpc.StatusCode.ALREADY_EXISTS, _info("EMAIL_TAKEN", contact_id="42"))
    failure = Failure.of(error)
    assert failure == Failure(
        grpc.StatusCode.ALREADY_EXISTS, "in words", "EMAIL_TAKEN", {"contact_id": "42"}
    )


def test_a_failure_lists_every_violation() -> None:
    """Whatever the order of the details is."""
    broken = [
        error_details_pb2.BadRequest.FieldViolation(field="email", description="an address"),
        error_details_pb2.BadRequest.FieldViolation(field="tags[3]", description="not empty"),
    ]
    request = _packed(error_details_pb2.BadRequest(field_violations=broken))
    error = _error(grpc.StatusCode.INVALID_ARGUMENT, request, _info("INVALID_REQUEST"))
    failure = Failure.of(error)
    assert failure.reason == "INVALID_REQUEST"
    assert list(failure.violations) == [
        Violation("email", "an address"),
        Violation("tags[3]", "not empty"),
    ]


def test_an_error_without_details_has_its_code_and_message() -> None:
    """A proxy or a broken connection explains nothing."""
    failure = Failure.of(_error(grpc.StatusCode.UNAVAILABLE))
    assert failure == Failure(grpc.StatusCode.UNAVAILABLE, "in words")


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (_error(grpc.StatusCode.UNAVAILABLE, _info("DRAINING")), True),
        (_error(grpc.StatusCode.UNAVAILABLE), True),
        (_error(grpc.StatusCode.INTERNAL), True),
        (_error(grpc.StatusCode.INTERNAL, _info("INTERNAL", error_id="7")), False),
        (_error(grpc.StatusCode.DEADLINE_EXCEEDED), False),
        (_error(grpc.StatusCode.UNAUTHENTICATED, _info("UNAUTHENTICATED")), False),
    ],
)
def test_only_what_a_connection_did_is_worth_another_try(
    error: grpc.aio.AioRpcError,
    passing: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    """The server's own faults and refusals come back the same."""
    assert is_passing(error) is passing
