"""CRM configurations: rows as messages, and what an UpdateCrmConfig makes of the present one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict

from crmsync.v1 import crm_config_pb2
from crmsync.v1.admin_service_pb2 import UpdateCrmConfigRequest
from crmsync_server.crm.adapter import Capabilities, Limit
from crmsync_server.crm.mapping_rules import faults
from crmsync_server.errors import InvalidRequestError, Violation
from crmsync_server.rpc import merge_settings
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store.config import Config

Limits = Mapping[tuple[str, str], sa.Row[Any]]

_FIELDS = {
    "enabled": "enabled",
    "batch_size": "batch_size",
    "concurrency": "concurrency",
    "max_retries": "max_retries",
    "custom_properties": "custom_properties",
    "field_mapping": "mapping",
    "merge_settings": "merging",
}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the server's settings say where an organization says nothing.

    interval: how long due work waits at most before it is looked for.
    """

    max_retries: int
    interval: timedelta


def message_of(
    row: sa.Row[Any], able: Capabilities | None, defaults: Defaults, limits: Limits
) -> crm_config_pb2.CrmConfig:
    """Turn a row of store.config.list into its message.

    able: what the CRM can do; None when there are no credentials.
    limits: from store.config.limits.
    """
    most, calls = (able.max_batch, able.concurrency) if able else (0, 0)
    retries = defaults.max_retries if row.max_retries is None else row.max_retries
    return crm_config_pb2.CrmConfig(
        crm=row.crm,
        enabled=row.enabled,
        configured=able is not None,
        pause=_pause(row) if row.paused else None,
        batch_size=_least(row.batch_size, most),
        concurrency=_least(row.concurrency, calls),
        max_retries=retries,
        interval=_duration(defaults.interval),
        custom_properties=row.custom_properties,
        field_mapping=_mapping(row),
        known_limits=[_limit(row.crm, limit, limits) for limit in able.limits] if able else (),
        max_batch_size=most,
        requires_email=able.requires_email if able else False,
        version=row.version,
        update_time=timestamp(row.update_time),
        merge_settings=merge_settings.message_of(row.merging),
    )


def change_of(
    request: UpdateCrmConfigRequest, able: Capabilities | None
) -> Callable[[Config], Config]:
    """Return what makes the new configuration of the present one.

    able: what the CRM can do; None when that is not known, for want of credentials.

    Raises:
        InvalidRequestError: the request breaks a rule.
    """
    given = _given(request.config)
    paths = list(request.update_mask.paths)
    settings = request.config.merge_settings
    broken = [*_unknown(paths), *_beyond(given, able), *_of_mapping(given)]
    if broken := [*broken, *merge_settings.violations(settings, "config.merge_settings")]:
        raise InvalidRequestError(broken)
    named = [_FIELDS[path] for path in paths] or _told(request.config)
    values = {name: getattr(given, name) for name in named}

    def change(before: Config) -> Config:
        return replace(before, **values)

    return change


def _given(config: crm_config_pb2.CrmConfig) -> Config:
    mapping = MessageToDict(config.field_mapping, preserving_proto_field_name=True)
    return Config(
        enabled=config.enabled,
        batch_size=config.batch_size or None,
        concurrency=config.concurrency or None,
        max_retries=config.max_retries if config.HasField("max_retries") else None,
        custom_properties=tuple(config.custom_properties),
        mapping=tuple(mapping.get("rules", ())),
        merging=merge_settings.document_of(config.merge_settings),
    )


def _told(config: crm_config_pb2.CrmConfig) -> list[str]:
    """Return the fields that a configuration without a mask says something of."""
    present = {field.name for field, _ in config.ListFields()}
    return [name for path, name in _FIELDS.items() if path in present]


def _unknown(paths: list[str]) -> Iterator[Violation]:
    told = f"must be one of {', '.join(_FIELDS)}"
    for place, path in enumerate(paths):
        if path not in _FIELDS:
            yield Violation(f"update_mask.paths[{place}]", "field_mask.writable", told)


def _beyond(given: Config, able: Capabilities | None) -> Iterator[Violation]:
    """Yield what the CRM cannot do."""
    if able is None:
        return
    most = {"batch_size": able.max_batch, "concurrency": able.concurrency}
    for name, limit in most.items():
        if (getattr(given, name) or 0) > limit:
            told = f"must be at most {limit}, which is the most that this CRM takes"
            yield Violation(f"config.{name}", "int32.lte", told)


def _of_mapping(given: Config) -> Iterator[Violation]:
    for fault in faults(given.mapping):
        yield Violation(f"config.field_mapping.{fault.field}", fault.rule, fault.description)


def _pause(row: sa.Row[Any]) -> crm_config_pb2.Pause:
    return crm_config_pb2.Pause(
        pauser=row.pauser or "",
        reason=row.pause_message or "",
        pause_time=timestamp(row.pause_time),
        code=row.pause_code or "",
        resume_time=timestamp(row.resume_time),
    )


def _mapping(row: sa.Row[Any]) -> crm_config_pb2.FieldMapping | None:
    if not row.mapping:
        return None
    return ParseDict({"rules": row.mapping}, crm_config_pb2.FieldMapping())


def _limit(crm: str, limit: Limit, limits: Limits) -> crm_config_pb2.KnownLimit:
    kept = limits.get((crm, limit.bucket), limit)
    return crm_config_pb2.KnownLimit(
        bucket=limit.bucket, calls=kept.calls, period=_duration(kept.period)
    )


def _duration(length: timedelta) -> Duration:
    told = Duration()
    told.FromTimedelta(length)
    return told


def _least(configured: int | None, most: int) -> int:
    """Return what is in force: an adapter may have come to take less than what was configured."""
    return min(configured or most, most) if most else configured or 0
