"""A mistake in building a recipe is reported where it was made, with the value and what was expected."""

from collections.abc import Callable
from typing import Any

import pytest

from calliope.flow import Flow, ManualClock, Queue, Sink, Source

source: Source[Any] = Source.of(1)
flow: Flow[Any, Any] = Flow()

MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "from_iterable": (lambda: Source.from_iterable(3), TypeError, "elements must be iterable, not 3"),
    "from_async": (lambda: Source.from_async([]), TypeError, "elements must be an async iterable, not \\[\\]"),
    "from_inlet": (lambda: Source.from_inlet(3), TypeError, "open must be callable, not 3"),
    "failed": (lambda: Source.failed("x"), TypeError, "error must be an exception, not 'x'"),
    "repeat": (lambda: Source.repeat(1, -1), ValueError, "times must be at least 0, not -1"),
    "unfold": (lambda: Source.unfold(1, 2), TypeError, "function must be callable, not 2"),
    "tick": (lambda: Source.tick(0), ValueError, "seconds must be more than 0 seconds, not 0"),
    "tick of text": (lambda: Source.tick("1"), TypeError, "seconds must be a number of seconds, not '1'"),
    "tick of nothing": (lambda: Source.tick(float("nan")), ValueError, "more than 0 seconds, not nan"),
    "queue": (lambda: Source.queue(0), ValueError, "capacity must be at least 1, not 0"),
    "a queue": (lambda: Queue(True), TypeError, "capacity must be an int, not True"),
    "to": (lambda: source.to(print), TypeError, "a stream runs into a Sink, not into <built-in"),
    "via": (lambda: source.via(print), TypeError, "via takes a Flow, not <built-in"),
    "sink": (lambda: Sink(3), TypeError, "consume must be callable, not 3"),
    "fold": (lambda: Sink.fold(0, 3), TypeError, "function must be callable, not 3"),
    "for_each": (lambda: Sink.for_each(None), TypeError, "function must be callable, not None"),
    "sink to a queue": (lambda: Sink.queue([]), TypeError, "queue must be a Queue"),
}

STAGE_MISTAKES: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "map": (lambda s: s.map(3), TypeError, "function must be callable, not 3"),
    "filter": (lambda s: s.filter(None), TypeError, "predicate must be callable, not None"),
    "flat_map": (lambda s: s.flat_map([1]), TypeError, "function must be callable"),
    "scan": (lambda s: s.scan(0, 0), TypeError, "function must be callable, not 0"),
    "take": (lambda s: s.take(-1), ValueError, "n must be at least 0, not -1"),
    "take of a float": (lambda s: s.take(1.0), TypeError, "n must be an int, not 1.0"),
    "take_while": (lambda s: s.take_while(1), TypeError, "predicate must be callable, not 1"),
    "drop": (lambda s: s.drop(-1), ValueError, "n must be at least 0, not -1"),
    "drop_while": (lambda s: s.drop_while(1), TypeError, "predicate must be callable, not 1"),
    "batch": (lambda s: s.batch(0), ValueError, "n must be at least 1, not 0"),
    "batch_within": (lambda s: s.batch_within(0, 1), ValueError, "n must be at least 1, not 0"),
    "batch_within no time": (lambda s: s.batch_within(1, 0), ValueError, "seconds must be more than 0"),
    "buffer": (lambda s: s.buffer(0), ValueError, "n must be at least 1, not 0"),
    "overflow": (lambda s: s.buffer(1, "block"), ValueError, "overflow must be one of backpressure, .*, not 'block'"),
    "distinct": (lambda s: s.distinct(3), TypeError, "key must be callable, not 3"),
    "remember": (lambda s: s.distinct(remember=0), ValueError, "remember must be at least 1, not 0"),
    "throttle": (lambda s: s.throttle(0), ValueError, "n must be at least 1, not 0"),
    "throttle no time": (lambda s: s.throttle(1, -1), ValueError, "seconds must be more than 0 seconds, not -1"),
    "debounce": (lambda s: s.debounce(0), ValueError, "seconds must be more than 0 seconds, not 0"),
    "timeout": (lambda s: s.timeout(None), TypeError, "seconds must be a number of seconds, not None"),
    "clock": (lambda s: s.timeout(1, clock=3), TypeError, "clock must have now\\(\\) and sleep\\(\\), not 3"),
    "map_async": (lambda s: s.map_async(3, 1), TypeError, "function must be callable, not 3"),
    "parallelism": (lambda s: s.map_async(print, 0), ValueError, "parallelism must be at least 1, not 0"),
    "unordered": (lambda s: s.map_async_unordered(print, 0), ValueError, "parallelism must be at least 1, not 0"),
    "group_by": (lambda s: s.group_by(3), TypeError, "key must be callable, not 3"),
    "max_groups": (lambda s: s.group_by(id, max_groups=0), ValueError, "max_groups must be at least 1, not 0"),
    "group buffer": (lambda s: s.group_by(id, buffer=0), ValueError, "buffer must be at least 1, not 0"),
    "broadcast": (lambda s: s.broadcast(), TypeError, "broadcast needs at least one flow"),
    "broadcast to what": (lambda s: s.broadcast(print), TypeError, "broadcast takes flows, not <built-in"),
    "broadcast buffer": (lambda s: s.broadcast(flow, buffer=0), ValueError, "buffer must be at least 1, not 0"),
    "concat": (lambda s: s.concat([1]), TypeError, "concat takes sources, not \\[1\\]"),
    "merge": (lambda s: s.merge([1]), TypeError, "merge takes sources, not \\[1\\]"),
    "zip": (lambda s: s.zip([1]), TypeError, "zip takes sources, not \\[1\\]"),
    "recover": (lambda s: s.recover(3), TypeError, "function must be callable, not 3"),
    "recover from": (lambda s: s.recover(print, int), TypeError, "errors must be exception classes, not <class 'int'>"),
    "retry": (lambda s: s.retry(0), ValueError, "attempts must be at least 1, not 0"),
    "retry backoff": (lambda s: s.retry(backoff=1), TypeError, "backoff must be a Backoff, not 1"),
    "retry errors": (lambda s: s.retry(errors=KeyboardInterrupt), TypeError, "errors must be exception classes"),
    "retry random": (lambda s: s.retry(random=0.5), TypeError, "random must be callable, not 0.5"),
    "retry clock": (lambda s: s.retry(clock=None), TypeError, "clock must have now\\(\\) and sleep\\(\\), not None"),
    "on_each": (lambda s: s.on_each(3), TypeError, "function must be callable, not 3"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_reported_before_anything_runs(name: str) -> None:
    build, kind, message = MISTAKES[name]
    with pytest.raises(kind, match=message):
        build()


@pytest.mark.parametrize("name", STAGE_MISTAKES)
@pytest.mark.parametrize("recipe", [source, flow], ids=["source", "flow"])
def test_a_mistake_in_a_stage_is_reported_before_anything_runs(recipe: Any, name: str) -> None:
    build, kind, message = STAGE_MISTAKES[name]
    with pytest.raises(kind, match=message):
        build(recipe)


def test_a_flow_has_all_stages_that_a_source_has() -> None:
    def stages(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    runs = {"open", "run_with", "run_fold", "run_for_each", "run_collect", "run_first", "run_drain", "running"}
    origins = {"of", "single", "empty", "failed", "repeat", "from_iterable", "from_async", "from_inlet"}
    origins |= {"unfold", "tick", "queue"}
    assert stages(Flow) - {"attach"} == stages(Source) - runs - origins


def test_a_manual_clock_begins_where_it_is_told_to() -> None:
    assert (ManualClock().now(), ManualClock(5).now()) == (0, 5)
