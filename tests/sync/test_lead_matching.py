"""Which lead a record is about: by the id that it names, else by its email, never by luck."""

from types import SimpleNamespace
from typing import Any

from crmsync_server.crm.leads import LeadRecord
from crmsync_server.sync.lead_matching import by_id, by_owner, own, told_of


def record(number: int, names: str = "", email: str = "", **told: Any) -> LeadRecord:  # noqa: ANN401 - any field
    """Return a record of a CRM."""
    plain: dict[str, Any] = {"status_code": 1, "status_text": "New", "ftd_exists": False}
    return LeadRecord(str(number), names, email, **{**plain, **told})


def owner(lead_id: str, **told: Any) -> Any:  # noqa: ANN401 - a row
    """Return a row of lead.owners."""
    plain = {"email_key": f"{lead_id}@example.com", "crm_lead_id": None, "noted": False}
    return SimpleNamespace(id=lead_id, **{**plain, **told})


def test_each_id_has_the_record_that_counts() -> None:
    """Of two that with the deposit; an id without one is left out, and so is who was not asked."""
    paid = record(2, "a", ftd_exists=True)
    found = dict(by_id([record(1, "a"), paid, record(3, "z")], ["a", "b", "a"]))
    assert found == {"a": paid}


def test_a_record_is_about_the_lead_that_it_names() -> None:
    """Whatever its email says."""
    named = record(1, "b", "a@example.com")
    assert dict(by_owner([named], [owner("a"), owner("b")])) == {"b": named}


def test_a_record_that_names_nobody_is_about_the_oldest_lead_with_its_email() -> None:
    """In any case, with any space around."""
    one = record(1, "elsewhere", " A@Example.com ")
    leads = [owner("old", email_key="a@example.com"), owner("new", email_key="a@example.com")]
    assert dict(by_owner([one], leads)) == {"old": one}


def test_a_lead_that_has_another_record_is_not_given_this_one() -> None:
    """A person who signs up elsewhere does not change what is known of this signup."""
    one = record(1, "", "a@example.com")
    assert not dict(by_owner([one], [owner("a", crm_lead_id="9")]))
    assert dict(by_owner([one], [owner("a", crm_lead_id="1")])) == {"a": one}


def test_what_was_noted_before_is_left_out() -> None:
    """By its id and by its email."""
    records = [record(1, "a"), record(2, "", "a@example.com")]
    assert not dict(by_owner(records, [owner("a", noted=True)]))


def test_the_id_comes_before_the_email() -> None:
    """Although the other one has a deposit."""
    named, paid = record(1, "a"), record(2, "", "a@example.com", ftd_exists=True)
    assert dict(by_owner([paid, named], [owner("a")])) == {"a": named}
    assert own("a", [paid, named], frozenset()) == named
    assert own("a", [record(3, "b")], frozenset({"b"})) is None
    assert own("a", [], frozenset()) is None


def test_what_no_database_can_hold_is_left_out_of_texts() -> None:
    """A broker may send anything."""
    told = told_of("a", record(1, "a", status_text="N\0ew", tp_account="\ud800MT4"))
    assert (told.status_text, told.tp_account) == ("New", "?MT4")
