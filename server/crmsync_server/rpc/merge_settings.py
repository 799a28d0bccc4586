"""How changes of both sides are brought together: the settings, and what is wrong with them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from phonenumbers import SUPPORTED_REGIONS

from crmsync.v1.crm_config_pb2 import MergeSettings
from crmsync_server.crm.mapping import PROPERTY, STANDARD
from crmsync_server.errors import Violation


def document_of(settings: MergeSettings) -> Mapping[str, Any]:
    """Return what is stored: the contract's own JSON, without what is unset."""
    return MessageToDict(settings, preserving_proto_field_name=True)


def message_of(document: Mapping[str, Any]) -> MergeSettings | None:
    """Read what is stored; None where nothing is set."""
    return ParseDict(dict(document), MergeSettings()) if document else None


def violations(settings: MergeSettings, path: str) -> Iterator[Violation]:
    """Yield what is wrong with settings beside the rules that the proto declares.

    path: of the settings themselves, such as `config.merge_settings`.
    """
    for name in sorted(settings.field_policies):
        if not is_field(name):
            told = f"the key must be one of {', '.join(STANDARD)} and {PROPERTY}key"
            yield Violation(f"{path}.field_policies[{json.dumps(name)}]", "field.known", told)
    if settings.phone_region and settings.phone_region not in SUPPORTED_REGIONS:
        told = "must be a region with phone numbers of its own, such as IN or US, or unset"
        yield Violation(f"{path}.phone_region", "region.known", told)


def is_field(name: str) -> bool:
    """Tell whether a name is that of a field that both sides can have."""
    return name in STANDARD or name.removeprefix(PROPERTY) not in {"", name}
