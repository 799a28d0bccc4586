"""Secrets are found in whatever spelling, and nothing else is lost with them."""

import json

import httpx
import pytest

from crmsync_server.crm import hubspot
from crmsync_server.crm.adapter import Account
from crmsync_server.crm.hiding import hidden, keepable
from crmsync_server.crm.outcomes import Synced
from crmsync_server.crm.replies import read
from tests.crm.mautic_script import BASIC, instance, kept
from tests.crm.support import SECRET, ScriptedCrm, delivery

SPICY = 'pä/ss "w<o>rd\\ & more'


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"message": f"no {SPICY}"}),
        json.dumps({"message": f"no {SPICY}"}, ensure_ascii=False),
        json.dumps({"deep": [{"message": SPICY}]}).replace("/", "\\/"),
        "<p>p\u00e4/ss &quot;w&lt;o&gt;rd\\ &amp; more</p>",
        "/?p=p%C3%A4%2Fss%20%22w%3Co%3Erd%5C%20%26%20more",
        "p=p%C3%A4%2Fss+%22w%3Co%3Erd%5C+%26+more",
    ],
)
def test_a_secret_is_hidden_however_it_is_spelt(content: str) -> None:
    """As Python and PHP write JSON, in a page, and in an address."""
    reply = read(httpx.Response(400, content=content.encode()), [SPICY])
    assert "[hidden]" in reply.text
    for spelling in (SPICY, 'ss \\"w', "ss &quot;w", "ss%20%22w", "ss+%22w"):
        assert spelling not in f"{reply.body} {reply.text}"


async def test_a_secret_with_blanks_around_it_is_hidden_as_it_was_sent() -> None:
    """Whoever pastes a token pastes its line break too."""
    reply = httpx.Response(401, json={"message": f"bad token {SECRET}"})
    pasted = Account("org-1", "hubspot", "https://x.test", {"token": f" {SECRET}\n"})
    standing = await hubspot.build(pasted, ScriptedCrm(lambda _: reply).tools()).check()
    assert standing.message == "HubSpot refuses the token: bad token [hidden]"


@pytest.mark.parametrize("password", ["501", "0", "contacts", "statusCodes", "email"])
async def test_a_password_that_looks_like_something_else_breaks_no_reply(password: str) -> None:
    """It is taken out of what people read, and not out of numbers and names."""
    adapter = instance(ScriptedCrm(kept).tools(), BASIC | {"password": password})
    (outcome,) = await adapter.push([delivery(1)])
    assert outcome == Synced("501")


def test_what_can_be_neither_stored_nor_sent_is_replaced() -> None:
    """Wherever it stands in a reply."""
    reply = read(httpx.Response(200, content=b'{"a": ["x\\u0000y\\ud800z"]}'), [])
    assert reply.fields == {"a": ["x\ufffdy\ufffdz"]}
    assert read(httpx.Response(500, content=b"a\0b"), []).text == "a\ufffdb"
    assert keepable("\U0001f600 ok") == "\U0001f600 ok"


@pytest.mark.parametrize("charset", ["hex", "zlib", "rot13", "idna", "undefined", "utf-7", "no"])
def test_no_charset_makes_a_reader_raise(charset: str) -> None:
    """JSON is UTF-8, whatever a header says."""
    headers = {"content-type": f"text/html; charset={charset}"}
    reply = read(httpx.Response(200, headers=headers, content=b'\xef\xbb\xbf{"a": 1}'), [])
    assert reply.fields == {"a": 1}


def test_short_values_are_not_hidden() -> None:
    """Every second word would hold them."""
    assert hidden("a cab", ["a", "", " "]) == "a cab"
