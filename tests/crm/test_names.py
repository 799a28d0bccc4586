"""The names of secrets and options that are taken are those that adapters read."""

import re
from pathlib import Path

import pytest

from crmsync_server import crm
from crmsync_server.crm.adapter import Account
from crmsync_server.crm.names import TAKES, check_names

# How adapters read an option or a secret by its name.
READS = re.compile(
    r"""(?:options\.get\(|secrets\.get\(|number\(account,\s|_choice\(account,\s|credential\(account,\s|
    _secret\(account,\s|_header_value\(account,\s)["'](\w+)["']""",
    re.VERBOSE,
)


@pytest.mark.parametrize("name", sorted(TAKES))
def test_what_an_adapter_reads_may_be_given(name: str) -> None:
    """An option that is read and not listed could never be set."""
    source = "".join(path.read_text() for path in Path(crm.__file__).parent.glob(f"{name}*.py"))
    read = set(READS.findall(source))
    assert read
    assert read <= TAKES[name].secrets | TAKES[name].options


@pytest.mark.parametrize("name", sorted(TAKES))
def test_what_may_be_given_is_read_somewhere(name: str) -> None:
    """Nothing is taken that would be ignored."""
    folder = Path(crm.__file__).parent
    paths = [*folder.glob(f"{name}*.py"), folder / "http.py"]
    source = "".join(path.read_text() for path in paths)
    unread = {
        taken
        for taken in TAKES[name].secrets | TAKES[name].options
        if f'"{taken}"' not in source and f"'{taken}'" not in source
    }
    assert unread == set()


def test_a_name_that_is_not_taken_is_refused_with_those_that_are() -> None:
    """Its value is not repeated."""
    account = Account("acme", "hubspot", "https://a.test", {"tokne": "canary"})
    with pytest.raises(
        ValueError, match=r"the secret 'tokne' is none .* it takes client_id"
    ) as refused:
        check_names(account)
    assert "canary" not in str(refused.value)


def test_an_adapter_of_another_package_judges_for_itself() -> None:
    """Nothing is known of what it takes."""
    check_names(Account("acme", "sap", "https://a.test", {"any": "x"}, {"thing": "y"}))
