"""How what changed at a CRM is brought together with what changed here, as it is configured.

The document is the contract's own JSON (crmsync.v1.MergeSettings), so that what is stored reads as
what was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

_POLICY = "MERGE_POLICY_"
_DELETION = "DELETION_POLICY_"


class MergePolicy(StrEnum):
    """Which side a field takes that both have changed since they last agreed."""

    CRM_WINS = "CRM_WINS"
    OURS_WINS = "OURS_WINS"
    NEWEST_WINS = "NEWEST_WINS"
    NEVER_EMPTY = "NEVER_EMPTY"
    MANUAL = "MANUAL"


class DeletionPolicy(StrEnum):
    """What becomes of a contact whose record is gone at the CRM."""

    UNLINK = "UNLINK"
    DELETE = "DELETE"
    IGNORE = "IGNORE"


@dataclass(frozen=True, slots=True)
class Merging:
    """The settings of one organization for one CRM; what is not set is as it is here.

    field_policies: for single fields of the contact, such as `company` or `properties.plan`.
    phone_region: of phone numbers without a country code, two letters; empty when not known.
    """

    policy: MergePolicy = MergePolicy.NEWEST_WINS
    field_policies: Mapping[str, MergePolicy] = field(default_factory=dict)
    deletion_policy: DeletionPolicy = DeletionPolicy.UNLINK
    create_contacts: bool = True
    phone_region: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read a valid document; raises ValueError for a policy that is none."""
        return cls(
            _policy(document.get("policy", "")) or MergePolicy.NEWEST_WINS,
            {
                name: _policy(told) or MergePolicy.NEWEST_WINS
                for name, told in document.get("field_policies", {}).items()
            },
            _deletion(document.get("deletion_policy", "")),
            document.get("create_contacts", True),
            document.get("phone_region", ""),
        )

    def document(self) -> Mapping[str, Any]:
        """Return what `of` reads; what is as by default is left out."""
        told: dict[str, Any] = {}
        if self.policy != MergePolicy.NEWEST_WINS:
            told["policy"] = _POLICY + self.policy
        if self.field_policies:
            told["field_policies"] = {
                name: _POLICY + policy for name, policy in self.field_policies.items()
            }
        if self.deletion_policy != DeletionPolicy.UNLINK:
            told["deletion_policy"] = _DELETION + self.deletion_policy
        if not self.create_contacts:
            told["create_contacts"] = False
        if self.phone_region:
            told["phone_region"] = self.phone_region
        return told

    def policy_of(self, name: str) -> MergePolicy:
        """Return the policy for one field of the contact."""
        return self.field_policies.get(name, self.policy)


def _policy(told: str) -> MergePolicy | None:
    name = told.removeprefix(_POLICY)
    return None if name in {"", "UNSPECIFIED"} else MergePolicy(name)


def _deletion(told: str) -> DeletionPolicy:
    name = told.removeprefix(_DELETION)
    return DeletionPolicy.UNLINK if name in {"", "UNSPECIFIED"} else DeletionPolicy(name)
