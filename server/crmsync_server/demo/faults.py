"""How the simulated CRMs misbehave while the demo runs."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

Dial = Mapping[str, object]

# One contact in a hundred is refused by either CRM. HubSpot takes a hundred contacts in a call, so
# it is called often enough for chance.
DIALS: Mapping[str, Dial] = MappingProxyType(
    {
        "hubspot": {
            "seed": 11,
            "latency_seconds": 0.02,
            "throttle_rate": 0.01,
            "server_error_rate": 0.05,
            "drop_rate": 0.02,
            "drop_after_applying_rate": 0.03,
            "hang_after_applying_rate": 0.03,
            "reject_share": 0.01,
        },
        "brevo": {"seed": 12, "latency_seconds": 0.02, "reject_share": 0.01},
    }
)

# Brevo takes thousands in a call, and may be asked about them a hundred times an hour: so few
# calls that each of these faults is made sure of.
SCRIPTS: Mapping[str, Sequence[Dial]] = MappingProxyType(
    {
        "hubspot": [
            {"kind": "status", "status": 429, "retry_after_seconds": 2, "method": "POST"},
            {"kind": "hang", "applied": True, "method": "POST"},
        ],
        "brevo": [
            {"kind": "status", "status": 429, "retry_after_seconds": 1, "path": "*/import"},
            {"kind": "status", "status": 503, "path": "*/import"},
            {"kind": "hang", "applied": True, "path": "*/import"},
            {"kind": "drop", "applied": True, "path": "*/import"},
            {"kind": "status", "status": 502, "path": "*/processes/*"},
        ],
    }
)
