"""The acts of the demonstration, in order; each is a function that a newcomer reads in a minute."""

from collections.abc import Awaitable, Callable

from examples.demo.acts.comparing import compare_all
from examples.demo.acts.conflicting import change_the_same_thing
from examples.demo.acts.cutting_off import cut_one_off
from examples.demo.acts.finding import find_one_another
from examples.demo.acts.killing import kill_one
from examples.demo.acts.quorums import update_at_quorum
from examples.demo.acts.replaying import replay_the_log
from examples.demo.acts.waiting import wait_for_a_value
from examples.demo.stage import Stage

Act = Callable[[Stage], Awaitable[None]]

ACTS: tuple[Act, ...] = (
    find_one_another,
    replay_the_log,
    change_the_same_thing,
    update_at_quorum,
    cut_one_off,
    kill_one,
    wait_for_a_value,
    compare_all,
)
