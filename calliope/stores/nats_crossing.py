"""`Crossing`: calls from the journal's event loop into the thread that speaks with NATS, and results back.

nats-py knows asyncio only, and the journal runs on any event loop; so a thread of its own runs an asyncio loop, and all
that is asked crosses into it. To wake another loop costs as much as a small request. So calls of one turn of the loop
cross together, and so do results.

    callers     call ──► gathering ──┐ at the end of the loop's turn
    event loop                       ├─► thread: begin, begin, begin … each goes on by itself
    event loop  ◄── announce, wake ──┘ at the end of the thread's turn: news first, then the callers

A cancelled caller stops waiting; what it asked for goes on as if nothing had happened.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

import anyio

from calliope.errors import JournalClosedError
from calliope.stores.event_loop import EventLoop, EventLoopEndedError, Waiter

T = TypeVar("T")
News = TypeVar("News")

CALLS_MAX = 16_384
"""How many calls may be under way; further callers wait for room."""


class Call:
    """Something asked for; the thread sets either its result or its error, once."""

    __slots__ = ("begin", "error", "result", "waiter")

    def __init__(self, begin: Callable[["Call"], None], waiter: Waiter) -> None:
        self.begin = begin
        self.waiter = waiter
        self.result: object = None
        self.error: Exception | None = None


class _OneConnectionLoop(asyncio.SelectorEventLoop):
    """An event loop with one connection at a time: a new one ends those before.

    nats-py forgets a connection without closing it when the server that it has reached does not greet.
    """

    def __init__(self) -> None:
        super().__init__()
        self._connections: list[asyncio.WriteTransport] = []

    async def create_connection(self, *arguments: Any, **options: Any) -> Any:
        """Connect, as every event loop does."""
        transport, protocol = await super().create_connection(*arguments, **options)
        self.end_connections()
        self._connections.append(transport)
        return transport, protocol

    def end_connections(self) -> None:
        """End all connections that are open."""
        while self._connections:
            self._connections.pop().abort()  # what was not sent yet is of no use


class NatsThread:
    """A thread with an asyncio event loop.

    Attributes:
        loop: the event loop.
    """

    def __init__(self) -> None:
        self.loop = _OneConnectionLoop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._work, name="calliope-nats", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; for other threads."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin a task that belongs to the thread; for the thread itself."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Cancel what is left, and end; return when the thread has ended."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            while left := asyncio.all_tasks(self.loop):
                for task in left:
                    task.cancel()
                self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.end_connections()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()


class Crossing(Generic[News]):
    """Carries calls into a thread, and news and results out of it. Create it inside the event loop that will call.

    Args:
        thread: where calls go.
        announce: takes news, in the event loop, before those calls are answered that were finished after it.
    """

    def __init__(self, thread: NatsThread, announce: Callable[[News], None]) -> None:
        self._thread = thread
        self._announce = announce
        self._loop = EventLoop()
        self._gathering: list[Call] = []
        self._under_way = 0
        self._closed = False
        self._turn_over: anyio.Event | None = None
        self._news: list[News] = []
        self._finished: list[Call] = []
        self._carrying = False
        self._ended = False

    async def call(self, begin: Callable[[Call], None]) -> object:
        """Return the result of a call.

        Args:
            begin: begins it; called in the thread.

        Raises:
            JournalClosedError: the journal is closed; nothing was begun.
            Exception: the call's error.
        """
        while self._under_way + len(self._gathering) >= CALLS_MAX:
            await self._turn()
        if self._closed:
            raise JournalClosedError("the journal is closed; nothing was written")
        call = Call(begin, self._loop.new_waiter())
        self._gathering.append(call)
        if len(self._gathering) == 1:
            self._loop.soon(self._hand_over)
        await call.waiter
        if call.error is not None:
            raise call.error
        return call.result

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what a coroutine function returns, which runs in the thread; raises as `call`."""

        async def finish(call: Call) -> None:
            try:
                call.result = await work()
            except Exception as error:
                call.error = error
            self.finish(call)

        return cast(T, await self.call(lambda call: self._thread.spawn(finish(call))))

    async def aclose(self) -> None:
        """Take no more calls, and return when all are answered."""
        self._closed = True
        while self._under_way or self._gathering:
            await self._turn()

    def finish(self, call: Call) -> None:
        """Have a caller go on; for the thread."""
        self._finished.append(call)
        self._carry_soon()

    def tell(self, news: News) -> None:
        """Have news announced; for the thread."""
        self._news.append(news)
        self._carry_soon()

    def _carry_soon(self) -> None:
        if not self._carrying:
            self._carrying = True
            self._thread.loop.call_soon(self._carry)

    def _carry(self) -> None:
        self._carrying = False
        news, self._news = self._news, []
        finished, self._finished = self._finished, []
        if self._ended:
            return
        try:
            self._loop.post(self._deliver, news, finished)
        except EventLoopEndedError:
            self._ended = True
            self._thread.loop.stop()

    def _deliver(self, news: list[News], finished: list[Call]) -> None:
        try:
            for each in news:
                self._announce(each)
        finally:
            self._under_way -= len(finished)
            for call in finished:
                if not call.waiter.done():  # a cancelled caller does not wait any more
                    call.waiter.set_result(None)
            if self._turn_over is not None:
                self._turn_over.set()
                self._turn_over = None

    def _hand_over(self) -> None:
        calls, self._gathering = self._gathering, []
        self._under_way += len(calls)
        self._thread.loop.call_soon_threadsafe(self._begin, calls)

    def _begin(self, calls: list[Call]) -> None:
        for call in calls:
            try:
                call.begin(call)
            except Exception as error:
                call.error = error
                self.finish(call)

    async def _turn(self) -> None:
        """Wait until some calls are answered."""
        self._turn_over = self._turn_over or anyio.Event()
        await self._turn_over.wait()
