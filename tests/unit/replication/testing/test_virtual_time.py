"""Virtual time runs what is due in its order; the trace of a run is one number."""

from replication.testing.trace import Trace
from replication.testing.virtual_time import SkewedClock, VirtualTime


def test_actions_run_in_the_order_of_their_time_and_those_of_one_moment_as_they_were_asked_for():
    time, ran = VirtualTime(), []
    for name, seconds in (("late", 2.0), ("soon", 1.0), ("soon too", 1.0), ("now", 0.0)):
        time.after(seconds, ran.append, name)
    time.run_until(1.5)
    assert (ran, time.now, time.steps) == (["now", "soon", "soon too"], 1.5, 3)
    time.run_until(5.0)
    assert ran[-1] == "late"


def test_an_action_may_ask_for_others():
    time, moments = VirtualTime(), []

    def again():
        moments.append(time.now)
        if len(moments) < 3:
            time.after(1.0, again)

    time.after(1.0, again)
    time.run_until(10.0)
    assert moments == [1.0, 2.0, 3.0]


def test_a_fast_clock_needs_less_true_time_for_its_seconds():
    clock = SkewedClock(rate=2.0, offset=100.0)
    assert clock.read(10.0) == 120.0
    assert clock.true_seconds(6.0) == 3.0


def test_equal_events_have_equal_hashes_and_others_do_not():
    def traced(*events):
        shown = []
        trace = Trace(VirtualTime(), "title", show=shown.append)
        for event in events:
            trace.note(*event)
        return trace.hash, shown

    assert traced(("holds", "anna"), ("holds", "ben")) == traced(("holds", "anna"), ("holds", "ben"))
    assert traced(("holds", "anna"))[0] != traced(("holds", "ben"))[0]
    assert traced(("holds", "anna"))[1] == ["     0.000 holds anna"]


def test_a_failure_shows_what_happened_last_between_two_lines_that_name_the_run():
    trace = Trace(VirtualTime(), "schedule 7")
    for number in range(100):
        trace.note("holds", f"anna {number}")
    lines = trace.failed("it broke").splitlines()
    assert lines[0] == lines[-1] == "schedule 7: it broke"
    assert lines[-2].endswith("holds anna 99")
    assert len(lines) == 62
