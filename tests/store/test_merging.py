"""How settings of merges are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.store.merging import DeletionPolicy, MergePolicy, Merging

settings = st.builds(
    Merging,
    st.sampled_from(MergePolicy),
    st.dictionaries(st.sampled_from(["company", "properties.plan"]), st.sampled_from(MergePolicy)),
    st.sampled_from(DeletionPolicy),
    st.booleans(),
    st.sampled_from(["", "GR"]),
)


@given(settings)
def test_what_is_kept_is_read_back(merging: Merging) -> None:
    """Whatever it says."""
    assert Merging.of(merging.document()) == merging


def test_what_is_not_set_is_as_by_default() -> None:
    """And takes no room; UNSPECIFIED sets nothing either."""
    assert Merging.of({}) == Merging()
    assert Merging().document() == {}
    unset = {
        "policy": "MERGE_POLICY_UNSPECIFIED",
        "deletion_policy": "DELETION_POLICY_UNSPECIFIED",
    }
    assert Merging.of(unset) == Merging()


def test_a_policy_that_is_none_is_refused() -> None:
    """Rather than being taken for the default."""
    with pytest.raises(ValueError, match="BOTH_WIN"):
        Merging.of({"policy": "MERGE_POLICY_BOTH_WIN"})


def test_a_field_s_own_policy_goes_before_the_general_one() -> None:
    """Others follow that."""
    merging = Merging(MergePolicy.MANUAL, {"company": MergePolicy.CRM_WINS})
    assert merging.policy_of("company") is MergePolicy.CRM_WINS
    assert merging.policy_of("phone") is MergePolicy.MANUAL
