"""Which addresses may be called, and which URLs a tenant may give."""

from ipaddress import ip_address, ip_network

import pytest

from crmsync_server.crm.addresses import checked_url, is_allowed


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - nothing is bound to it
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_not_public_is_not_called(address: str) -> None:
    """Loopback, private, shared, link-local, metadata, multicast, reserved, and embedded ones."""
    assert not is_allowed(ip_address(address), ())


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450:4001::200e",
    ],
)
def test_what_is_public_is_called(address: str) -> None:
    """Also where a network without IPv4 embeds it."""
    assert is_allowed(ip_address(address), ())


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00::7"])
def test_an_allowed_network_is_called(address: str) -> None:
    """In whatever form its addresses come; its neighbours stay refused."""
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00::/64"))
    assert is_allowed(ip_address(address), allowed)
    assert not is_allowed(ip_address("10.2.0.1"), allowed)
    assert not is_allowed(ip_address("fd00:0:0:1::1"), allowed)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://crm.example.com", "https://crm.example.com"),
        ("https://crm.example.com/", "https://crm.example.com"),
        ("HTTP://crm.example.com:8443/api/", "HTTP://crm.example.com:8443/api"),
        ("https://xn--bcher-kva.example/%C3%A9", "https://xn--bcher-kva.example/%C3%A9"),
        ("https://n8n.example.com/webhook/a?b=/", "https://n8n.example.com/webhook/a?b=/"),
        ("https://my_mautic/index.php/", "https://my_mautic/index.php"),
        ("https://CRM.Example.com./x", "https://CRM.Example.com./x"),
        ("https://8.8.8.8", "https://8.8.8.8"),
        ("https://[2606:4700::1111]:443/x", "https://[2606:4700::1111]:443/x"),
    ],
)
def test_a_good_url_is_kept_as_it_is(url: str, kept: str) -> None:
    """But for a slash at its end, since paths are appended to it."""
    assert checked_url(url) == kept


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must begin with https://"),
        ("crm.example.com", "must begin with https://"),
        ("ftp://crm.example.com", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("gopher://crm.example.com", "must begin with https://"),
        ("https://", "must name a host"),
        ("https:///path", "must name a host"),
        ("https://-/", "must name a host"),
        ("https://a..b/", "must name a host"),
        (f"https://{'a' * 64}.example.com", "must name a host"),
        ("https://h%20.example.com", "must name a host"),
        ("https://crm.example.com:0", "no port or one from 1 to 65535"),
        ("https://crm.example.com:65536", "no port or one from 1 to 65535"),
        ("https://crm.example.com:http", "no port or one from 1 to 65535"),
        ("https://[::1", "must have a host"),
        ("https://user@crm.example.com", "user name or password"),
        ("https://crm.example.com@127.0.0.1", "user name or password"),
        ("https://:secret@crm.example.com", "user name or password"),
        ("https://crm.example.com/#x", "fragment"),
        ("https://crm.example.com#", "fragment"),
        ("https://crm.example.com/a b", "plain ASCII"),
        ("https://crm.example.com\\@127.0.0.1/", "plain ASCII"),
        ("https://crm.example.com/\n", "plain ASCII"),
        ("https://bücher.example", "plain ASCII"),
        ("https://１２７.0.0.1", "plain ASCII"),  # noqa: RUF001 - digits that only look so
        (f"https://crm.example.com/{'a' * 2048}", "at most 2048 characters"),
        ("http://127.0.0.1:9101", "not a public address"),
        ("http://[::1]/", "not a public address"),
        ("http://[::ffff:7f00:1]/", "not a public address"),
        ("http://169.254.169.254/latest/meta-data", "not a public address"),
        ("http://2130706433/", "written as 127.0.0.1"),
        ("http://0x7f000001/", "written as 127.0.0.1"),
        ("http://0x7f.1/", "written as 127.0.0.1"),
        ("http://0177.0.0.1/", "written as 127.0.0.1"),
        ("http://127.1/", "written as 127.0.0.1"),
        ("http://127.0.0.1./", "written as 127.0.0.1"),
        ("http://0/", "written as 0.0.0.0"),
        ("http://[fe80::1%25lo]/", "network interface"),
        ("https://xn--a/", "must be a valid name"),
        ("https://xn--0.example.com/", "must be a valid name"),
        ("http://999.1.1.1/", "numbers from 0 to 255"),
        ("http://1.2.3.256/", "numbers from 0 to 255"),
    ],
)
def test_a_bad_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    """And with what would be right; a password in it is not repeated."""
    with pytest.raises(ValueError, match=reason) as raised:
        checked_url(url)
    assert "secret" not in str(raised.value)


def test_an_allowed_address_may_be_given() -> None:
    """A self-hosted CRM in the operator's own network."""
    allowed = (ip_network("10.0.0.0/8"),)
    assert checked_url("http://10.1.2.3:8080", allowed) == "http://10.1.2.3:8080"
    with pytest.raises(ValueError, match="not a public address"):
        checked_url("http://192.168.0.1", allowed)
