"""`AnsweringConnection`: a connection that does not wait for ever for a server that hangs.

The server ends statements that take too long itself, and TCP notices a machine that is gone. A server that is stopped,
or whose disk hangs, does neither: its machine answers, and it does not. So waiting ends here too, a little later than
the server would have ended it, and then the connection counts as lost.
"""

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Wait

RV = TypeVar("RV")

MARGIN_SECONDS = 10.0
"""How much later than the server would have ended a statement it is given up."""


class AnsweringConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection that is closed when an answer does not come.

    Attributes:
        answer_seconds: how long an answer may take.
        when_waiting: called whenever all has been sent and an answer begins to be waited for.
    """

    answer_seconds = MARGIN_SECONDS
    when_waiting: Callable[[], None] | None = None

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Wait for the server; psycopg waits in short intervals, and says after each that nothing came.

        Raises:
            OperationalError: nothing came for too long; the connection is closed.
        """
        try:
            return super().wait(self._limited(gen), *args, **kwargs)
        except _SilentServerError as error:
            self.close()
            raise psycopg.OperationalError(f"the server did not answer within {self.answer_seconds:g} s") from error

    def _limited(self, waiting: PQGen[RV]) -> Generator[Any, Any, RV]:
        deadline = time.monotonic() + self.answer_seconds
        try:
            wanted, said = next(waiting), False
            while True:
                if not said and wanted == Wait.R:
                    said = True
                    if self.when_waiting is not None:
                        self.when_waiting()
                ready = yield wanted
                if ready:
                    deadline = time.monotonic() + self.answer_seconds
                elif time.monotonic() > deadline:
                    raise _SilentServerError
                wanted = waiting.send(ready)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return] # it is the generator's
        finally:
            waiting.close()


class _SilentServerError(Exception):
    """An answer did not come."""
