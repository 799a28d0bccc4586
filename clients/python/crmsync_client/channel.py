"""How a connection is opened: in the clear on this machine, by TLS to any other."""

import ipaddress

import grpc

_OPTIONS = (
    # As the server's own bound, so that what it sends is taken.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # A server that restarts is found again within seconds; gRPC's default waits two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


def open_channel(
    target: str, token: str | None, credentials: grpc.ChannelCredentials | None
) -> grpc.aio.Channel:
    """Return a channel that sends the token with every call; it connects when it is used."""
    if credentials is None:
        credentials = _local() if is_loopback(target) else grpc.ssl_channel_credentials()
    if token is not None:
        bearer = grpc.access_token_call_credentials(token)
        credentials = grpc.composite_channel_credentials(credentials, bearer)
    return grpc.aio.secure_channel(target, credentials, options=_OPTIONS)


def _local() -> grpc.ChannelCredentials:
    """Return credentials that send in the clear, and only where nobody else can listen."""
    return grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)


def is_loopback(target: str) -> bool:
    """Tell whether an address is on this machine's loopback interface."""
    address = target.removeprefix("dns:").lstrip("/")
    host = address.rpartition(":")[0].strip("[]").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
