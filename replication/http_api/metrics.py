"""What a node does, in numbers: Prometheus' text format, version 0.0.4.

Written here and not by a library: it is two kinds of line, and all of the numbers are known elsewhere.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from replication.core.replica import MemberReport
from replication.http_api.feeds import Feeds
from replication.http_api.traffic import Traffic
from replication.node import Node

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]


async def metrics(node: Node, traffic: Traffic, feeds: Feeds) -> str:
    """Return the numbers of a node."""
    replicator = node.replicator
    families = [
        *_of_members(await node.members()),
        _family("calliope_peers", "gauge", "Replicas that are connected now.", len(node.peers)),
        _family("calliope_sent_bytes", "counter", "Bytes of messages sent to peers.", node.sent_bytes),
        _family("calliope_refusals", "counter", "Peers refused, or cut off for what they did.", node.refusals),
        _family("calliope_cached_keys", "gauge", "Keys in memory.", replicator.cached_keys),
        _family("calliope_quarantined_changes", "counter", "Changes that could not be read.", replicator.quarantined),
        _family("calliope_position", "gauge", "The journal's last position.", node.journal.store.tail.position),
        _family("calliope_http_feeds", "gauge", "Live feeds that are open now.", len(feeds)),
        _family("calliope_http_requests", "counter", "Requests that were answered.", _answered(traffic)),
    ]
    return "".join(families)


def _of_members(members: list[MemberReport]) -> list[str]:
    states = dict.fromkeys(("alive", "suspect", "dead", "removed"), 0)
    for member in members:
        states[member.state] += 1
    others = [member for member in members[1:] if member.state != "removed"]
    held = sum(members[0].vector.values())
    return [
        _family("calliope_log_entries", "gauge", "Log entries held, by themselves or in states.", held),
        _family(
            "calliope_members",
            "gauge",
            "Replicas of the cluster, by state.",
            [({"state": state}, count) for state, count in states.items()],
        ),
        _family(
            "calliope_member_lag",
            "gauge",
            "Log entries held here that a replica is not known to hold.",
            [({"replica_id": member.replica_id}, member.lag) for member in others],
        ),
        _family(
            "calliope_member_age_seconds",
            "gauge",
            "How long ago a replica was heard.",
            [({"replica_id": member.replica_id}, member.age_seconds) for member in others],
        ),
    ]


def _answered(traffic: Traffic) -> list[Sample]:
    return [
        ({"method": method, "status": str(status)}, count)
        for (method, status), count in sorted(traffic.requests.items())
    ]


def _family(name: str, kind: Literal["gauge", "counter"], what: str, samples: float | Iterable[Sample]) -> str:
    name = f"{name}_total" if kind == "counter" else name
    several = [({}, samples)] if isinstance(samples, (int, float)) else samples
    lines = [f"{name}{_labelled(labels)} {_number(value)}\n" for labels, value in several]
    return f"# HELP {name} {what}\n# TYPE {name} {kind}\n" + "".join(lines)


def _labelled(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"


_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
