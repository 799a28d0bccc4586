"""Reading a field mapping as callers write it, and telling what is wrong with it.

The document is a list of rules in the contract's own JSON (crmsync.v1.MappingRule), so that what
is stored reads as what was asked for.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phonenumbers import SUPPORTED_REGIONS

from crmsync_server.crm.mapping import PROPERTY, STANDARD, FieldMapping, Rule
from crmsync_server.crm.transforms import E164, Date, Lower, Transform, Trim, Upper

Document = Sequence[Mapping[str, Any]]

_SOURCES = ("id", *STANDARD)
_TEXTS: Mapping[str, Transform] = {
    "TEXT_TRANSFORM_LOWER": Lower(),
    "TEXT_TRANSFORM_UPPER": Upper(),
    "TEXT_TRANSFORM_TRIM": Trim(),
}
_DIRECTIVES = "AaBbdfHIjMmpSYyZz"
_YEARS = "Yy"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one rule.

    field: the path of the wrong field within the mapping, such as `rules[3].field`.
    rule: what was broken, in a word; description: what would be right.
    """

    field: str
    rule: str
    description: str


def mapping_of(document: Document, custom_properties: Sequence[str] = ()) -> FieldMapping:
    """Return the mapping that a document without faults describes; no properties mean all."""
    chosen = frozenset(custom_properties) if custom_properties else None
    return FieldMapping(tuple(map(_rule, document)), chosen)


def faults(document: Document) -> Iterator[Fault]:
    """Yield what is wrong with a document, in the order of its rules."""
    known: Counter[str] = Counter()
    for place, rule in enumerate(document):
        path = f"rules[{place}]"
        known[rule["target"]] += 1
        if known[rule["target"]] == 2:  # noqa: PLR2004 - told once, however often it comes
            first = next(i for i, one in enumerate(document) if one["target"] == rule["target"])
            told = f"must be another than that of rules[{first}]: a target has one rule"
            yield Fault(f"{path}.target", "target.unique", told)
        yield from _of_source(rule, path)
        yield from _of_email(rule, path)
        for number, transform in enumerate(rule.get("transforms", ())):
            yield from _of_transform(transform, f"{path}.transforms[{number}]")


def _of_source(rule: Mapping[str, Any], path: str) -> Iterator[Fault]:
    source = rule.get("field")
    if source is None or source in _SOURCES:
        return
    if source.removeprefix(PROPERTY) in {"", source}:
        told = f"must be one of {', '.join(_SOURCES)} and {PROPERTY}key"
        yield Fault(f"{path}.field", "field.known", told)


def _of_email(rule: Mapping[str, Any], path: str) -> Iterator[Fault]:
    """Yield how a rule for the email would make several contacts one, or one nobody."""
    if rule["target"] != "email":
        return
    for field in ("constant", "default_value", "write_empty"):
        if field in rule:
            told = "must not be set for the email, which tells contacts apart"
            yield Fault(f"{path}.{field}", "email.identity", told)


def _of_transform(transform: Mapping[str, Any], path: str) -> Iterator[Fault]:
    if (region := transform.get("e164", {}).get("region")) and region not in SUPPORTED_REGIONS:
        told = "must be a region with phone numbers of its own, such as IN or US, or unset"
        yield Fault(f"{path}.e164.region", "region.known", told)
    if date := transform.get("date"):
        for field in ("input_format", "output_format"):
            told = _format_fault(date.get(field, ""), read=field == "input_format")
            if told:
                yield Fault(f"{path}.date.{field}", "date.format", told)


def _format_fault(text: str, *, read: bool) -> str:
    """Return what is wrong with a date format; empty when nothing is."""
    # A doubled percent sign is one; any other begins a directive.
    named = [part[:1] for part in text.replace("%%", "").split("%")[1:]]
    for directive in named:
        if directive not in _DIRECTIVES or not directive:
            known = " ".join(f"%{one}" for one in _DIRECTIVES)
            return f"must not hold %{directive}: the directives are {known} and %%"
    if read and text and (twice := [one for one, times in Counter(named).items() if times > 1]):
        return f"must hold %{twice[0]} once"
    if read and text and not set(_YEARS).intersection(named):
        return "must hold the year, %Y or %y"
    return ""


def _rule(rule: Mapping[str, Any]) -> Rule:
    return Rule(
        target=rule["target"],
        source=rule.get("field"),
        constant=rule.get("constant"),
        default=rule.get("default_value", ""),
        transforms=tuple(map(_transform, rule.get("transforms", ()))),
        write_empty=rule.get("write_empty", False),
    )


def _transform(transform: Mapping[str, Any]) -> Transform:
    match transform:
        case {"text": name}:
            return _TEXTS[name]
        case {"e164": settings}:
            return E164(settings.get("region", ""))
        case {"date": settings}:
            return Date(settings.get("input_format", ""), settings["output_format"])
    message = f"no transform is called {', '.join(transform)}"
    raise ValueError(message)
