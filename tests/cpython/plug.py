"""Puts our classes where CPython's tests take theirs from, before they are imported.

The test classes are parametrised by names that asyncio's modules have for the compiled and for the pure Python
implementation: `tasks._CTask` and `tasks._PyTask`, `tasks._c_current_task` and `tasks._py_current_task`. The compiled
one becomes what programs get here, which for Task and Future is the interpreter's; what steps and wakes them is ours.
The pure one stays, so that some classes run a Task in Python on a Future in C, and the other way round.
"""

import asyncio
from asyncio import TimerHandle, base_events, futures, tasks
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

from test.test_asyncio import utils  # type: ignore[import-not-found]
from trio.abc import Instrument
from trio.testing import MockClock

from compat.adapters import events, transports
from compat.adapters.events import Loop

TimeGenerator = Generator[float, float, None]


class LoopWithoutSendfile(Loop):
    """What asyncio's base class is to test_sendfile: from it, some tests take what refuses os.sendfile()."""

    _sendfile_native = base_events.BaseEventLoop._sendfile_native  # type: ignore[attr-defined]


class AsPatched:
    """A name as asyncio.base_events has it: a test that replaces it there by a mock replaces ours, too."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(base_events, self._name), name)


class VirtualTimeLoop(LoopWithoutSendfile, Instrument):
    """What `test_utils.TestLoop` is to CPython's tests: a loop whose time moves as a generator says.

    The generator is sent the time of each new timer, at the end of the batch in which it was set, and yields by how
    much the clock goes forward. Time also jumps to the next timer when there is nothing else to do.
    """

    def __init__(self, gen: Callable[[], TimeGenerator] | None = None) -> None:
        self._clock = MockClock(autojump_threshold=0)
        self._new_timers: list[float] = []
        self._advances = gen() if gen is not None else None
        if self._advances is not None:
            next(self._advances)
        super().__init__(clock=self._clock, instruments=[self])

    def advance_time(self, seconds: float) -> None:
        self._clock.jump(seconds)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        self._new_timers.append(when)
        return super().call_at(when, callback, *args, context=context)

    def before_io_wait(self, timeout: float) -> None:
        timers, self._new_timers = self._new_timers, []
        if self._advances is not None:
            for when in timers:
                self.advance_time(self._advances.send(when) or 0)

    def close(self) -> None:
        was_closed = self.is_closed()
        super().close()
        if self._advances is not None and not was_closed:
            try:
                self._advances.send(0)
            except StopIteration:
                return
            raise AssertionError("the test's time generator expected more timers")

    def _run_once(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()


def plug_in() -> None:
    """Do it, in this process. It is to be called under the redirect, with no test module imported yet."""
    assert tasks.__name__ == "compat.adapters.tasks", "run it by `python -m compat`"
    for module, name, ours in [
        (asyncio, "BaseEventLoop", Loop),
        (base_events, "BaseEventLoop", LoopWithoutSendfile),
        (futures, "_CFuture", futures.Future),
        (tasks, "_CTask", tasks.Task),
        (tasks, "_c_current_task", tasks.current_task),
        (tasks, "_c_register_task", tasks._register_task),
        (tasks, "_c_unregister_task", tasks._unregister_task),
        (tasks, "_c_enter_task", tasks._enter_task),
        (tasks, "_c_leave_task", tasks._leave_task),
        (utils, "TestLoop", VirtualTimeLoop),
        (transports, "socket", AsPatched("socket")),
        (events, "logger", AsPatched("logger")),
    ]:
        setattr(module, name, ours)
