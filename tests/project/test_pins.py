"""The files that say what gets installed."""

import re

import pytest

from tests.project import ROOT

PINS = ("constraints.txt", "constraints-server.txt", "constraints-build.txt")


def pinned(name: str) -> dict[str, str]:
    """Return the version of each package that a file pins."""
    pins = re.findall(r"^([a-z0-9-]+)==([^ ]+)", ROOT.joinpath(name).read_text(), re.MULTILINE)
    return dict(pins)


@pytest.mark.parametrize("name", PINS)
def test_every_pin_has_a_hash_and_no_address(name: str) -> None:
    """What gets installed is certain; where it comes from is up to the machine."""
    text = ROOT.joinpath(name).read_text()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


@pytest.mark.parametrize("name", PINS[1:])
def test_all_files_pin_the_same_versions(name: str) -> None:
    """The image runs what the tests have run."""
    everything = pinned("constraints.txt")
    differing = {
        package: version
        for package, version in pinned(name).items()
        if everything.get(package, version) != version
    }
    assert differing == {}
