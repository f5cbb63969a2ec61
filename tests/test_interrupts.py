"""Ctrl-C, SystemExit and exceptions that break a loop: a program ends on trio as it ends on asyncio.

Each program runs in two processes, on asyncio and on trio, and both must write the same and have the same status.
"""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from worlds import ON_TRIO, Ended

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
INTERRUPTS = int(os.environ.get("INTERRUPTS", "20"))

# Sends itself a real SIGINT, from a thread: the signal arrives wherever the main thread is by then.
PRELUDE = """
import asyncio, os, signal, sys, threading, time, warnings
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt(*delays):
    def send():
        for delay in delays:
            time.sleep(delay)
            os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=send, daemon=True).start()
def say(*words):
    print(*words, flush=True)
"""


def shape(traceback):
    """The parts of a traceback that are the program's: its own lines, and the exceptions. Frames of asyncio and of
    this project go, with the code and the marks that are shown below them."""
    lines = (line for line in traceback.splitlines() if not re.match(r"[ |]*    ", line))
    return [line for line in lines if ' File "' not in line or ' File "<string>"' in line]


def errors(traceback):
    """The exceptions alone: an exception that is reported late has been through more frames than one reported early."""
    return [line for line in shape(traceback) if ' File "' not in line]


def run_both(program, compare=shape):
    """Run it on asyncio and on trio, require the same end, and return asyncio's."""
    program = PRELUDE + program
    with ThreadPoolExecutor() as pool:
        real, ours = pool.map(lambda command: Ended(program, *command), [(), ON_TRIO])
    assert ours.out == real.out
    assert ours.status == real.status, ours.error
    assert compare(ours.error) == compare(real.error)
    return real


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------

INTERRUPTED = {
    "in sleep": """
async def main():
    interrupt(0.2)
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error), asyncio.current_task().cancelling())
        raise
asyncio.run(main())
""",
    "in a busy loop with awaits": """
async def main():
    interrupt(0.2)
    try:
        while True:
            await asyncio.sleep(0)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "in a CPU loop": """
async def main():
    interrupt(0.2)
    try:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            pass
        say("the first Ctrl-C does not break in")
        await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "twice in a CPU loop": """
async def main():
    task = asyncio.current_task()
    def send_two():  # the second when the first has been seen: both at once may be one
        interrupt(0.2)
        while not task.cancelling():
            time.sleep(0.01)
        interrupt(0.1)
    threading.Thread(target=send_two, daemon=True).start()
    try:
        while True:
            pass
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "in a background task": """
async def spin():
    try:
        while True:
            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                pass
            await asyncio.sleep(0)
    except BaseException as error:
        say("background", repr(error))
        raise
async def main():
    interrupt(0.2)
    task = asyncio.create_task(spin())
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "in a callback": """
def spin(loop):
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        pass
    loop.call_soon(spin, loop)
async def main():
    interrupt(0.2)
    spin(asyncio.get_running_loop())
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "swallowed": """
async def main():
    interrupt(0.2)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        say("swallowed")
    await asyncio.sleep(0.01)
    return "value"
say(asyncio.run(main()))
""",
    "swallowed and uncancelled": """
async def main():
    interrupt(0.2)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        say(asyncio.current_task().uncancel())
    raise asyncio.CancelledError("own")
try:
    asyncio.run(main())
except BaseException as error:
    say(repr(error))
""",
    "twice, the first one swallowed": """
async def main():
    interrupt(0.2, 0.3)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        say("swallowed")
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        say("again", repr(error))
        raise
try:
    asyncio.run(main())
except KeyboardInterrupt as error:
    say("out", repr(error))
""",
    "during the clean-up": """
async def main():
    interrupt(0.2, 0.3)
    try:
        await asyncio.sleep(30)
    finally:
        try:
            say("cleaning up")
            await asyncio.sleep(30)
        finally:
            say("really")
try:
    asyncio.run(main())
except KeyboardInterrupt as error:
    say("out", repr(error))
""",
    "main fails of it": """
async def main():
    interrupt(0.2)
    try:
        await asyncio.sleep(30)
    finally:
        raise ValueError("clean-up")
asyncio.run(main())
""",
    "in a task group": """
async def child():
    try:
        await asyncio.sleep(30)
    finally:
        say("child")
async def main():
    interrupt(0.2)
    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        group.create_task(child())
asyncio.run(main())
""",
    "in to_thread": """
left = threading.Event()
def work():
    interrupt(0.1)
    left.wait()
    time.sleep(0.1)
    say("the thread ends its work")
async def main():
    try:
        await asyncio.to_thread(work)
    finally:
        say("main")
        left.set()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    say("the thread was waited for")
""",
    "before any await": """
async def main():
    os.kill(os.getpid(), signal.SIGINT)
    say("main goes on")
    await asyncio.sleep(30)
asyncio.run(main())
""",
    "in main's last step": """
async def main():
    os.kill(os.getpid(), signal.SIGINT)
    say("main goes on")
    return "value"
say(asyncio.run(main()))
""",
    "in run_forever": """
loop = asyncio.new_event_loop()
loop.call_soon(interrupt, 0.2)
try:
    loop.run_forever()
except KeyboardInterrupt as error:
    say(repr(error), loop.is_running(), loop.is_closed())
say(loop.run_until_complete(asyncio.sleep(0.01, "goes on")))
loop.close()
""",
    "in run_until_complete": """
async def main():
    interrupt(0.2)
    await asyncio.sleep(30)
loop = asyncio.new_event_loop()
task = loop.create_task(main())
try:
    loop.run_until_complete(task)
except KeyboardInterrupt as error:
    say(repr(error), task.done())
task.cancel()
try:
    loop.run_until_complete(task)
except asyncio.CancelledError:
    say("cancelled")
loop.close()
""",
    "with a handler of the program's own": """
came = threading.Event()
signal.signal(signal.SIGINT, lambda *args: (say("handler"), came.set()))
async def main():
    interrupt(0.1)
    while not came.is_set():
        await asyncio.sleep(0.01)
    say(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
asyncio.run(main())
""",
    "with add_signal_handler": """
async def main():
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    def handler(word):
        say(word)
        came.set()
    loop.add_signal_handler(signal.SIGINT, handler, "handler")
    interrupt(0)
    await came.wait()
    say(loop.remove_signal_handler(signal.SIGINT), loop.remove_signal_handler(signal.SIGINT))
    interrupt(0.2)
    try:
        await asyncio.sleep(30)
    finally:
        say("main")
asyncio.run(main())
""",
    "restores the handler": """
async def main():
    say(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
for _ in range(2):
    asyncio.run(main())
    say(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.set_wakeup_fd(-1))
try:
    interrupt(0.1)
    time.sleep(1000)
except KeyboardInterrupt:
    say("as ever")
""",
    "between two runs": """
with asyncio.Runner() as runner:
    runner.run(asyncio.sleep(0))
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1000)
    except KeyboardInterrupt:
        say("at once")
    say(runner.run(asyncio.sleep(0.01, "goes on")))
""",
    "in the loop, before the last step": """
class InTheLoop(asyncio.Queue):
    def _put(self, item):
        signal.raise_signal(signal.SIGINT)  # Ctrl-C does not break in there
async def main():
    done = asyncio.Event()
    def end():
        done.set()
        InTheLoop().put_nowait(None)
    asyncio.get_running_loop().call_soon(end)
    await done.wait()
with asyncio.Runner() as runner:
    try:
        runner.run(main())
    except KeyboardInterrupt:
        say("Ctrl-C")
    say(runner.run(asyncio.sleep(0.01, "goes on")))
""",
    "and the next run": """
async def main():
    interrupt(0.2)
    await asyncio.sleep(30)
with asyncio.Runner() as runner:
    for _ in range(2):
        try:
            runner.run(main())
        except KeyboardInterrupt as error:
            say(repr(error))
    say(runner.run(asyncio.sleep(0.01, "goes on")))
""",
}


@pytest.mark.parametrize("program", INTERRUPTED.values(), ids=INTERRUPTED)
def test_ctrl_c(program):
    run_both(program)


# The interrupt arrives anywhere, also in asyncio's own code: what main() still runs, and what is reported, differs from
# one run on asyncio to the next. That the program ends by it does not.
BUSY_AFTER_REMOVE_SIGNAL_HANDLER = """
is_over = threading.Event()
def insist():  # the interpreter ignores a KeyboardInterrupt in a finalizer or the like
    time.sleep(0.1)
    while not is_over.is_set():
        os.kill(os.getpid(), signal.SIGINT)
        is_over.wait(2)
async def child():
    await asyncio.sleep(0)
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, say)
    loop.remove_signal_handler(signal.SIGINT)
    threading.Thread(target=insist, daemon=True).start()
    try:
        while True:
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(child())
    finally:
        is_over.set()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    say("ended")
"""


def test_ctrl_c_after_remove_signal_handler():
    ended = run_both(BUSY_AFTER_REMOVE_SIGNAL_HANDLER, compare=lambda error: None)
    assert ended.out == "ended\n"


def test_ctrl_c_ends_the_program():
    """The comparison above compares something: this is how asyncio ends."""
    ended = run_both(INTERRUPTED["in sleep"])
    assert ended.out == "main CancelledError() 1\n"
    assert "KeyboardInterrupt" in ended.error
    assert ended.status == -2


def test_ctrl_c_while_trio_waits():
    """A native wait of trio's is interrupted like asyncio's."""
    ended = Ended(
        PRELUDE
        + """
import trio
async def main():
    interrupt(0.2)
    try:
        await trio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
        *ON_TRIO,
    )
    assert ended.out == "main CancelledError()\n"
    assert "KeyboardInterrupt" in ended.error
    assert ended.status == -2


@pytest.mark.parametrize(
    "wait", ["asyncio.sleep(30)", "trio.sleep(30)", "asyncio.create_task(asyncio.sleep(30))", "leave_a_group()"]
)
def test_ctrl_c_in_compat_run(wait):
    """It is a trio.run(): KeyboardInterrupt comes out of it, and the loop's tasks have been cancelled and awaited."""
    ended = Ended(
        PRELUDE
        + f"""
import compat, trio
from compat import asyncio
async def background():
    try:
        await asyncio.sleep(30)
    finally:
        await asyncio.sleep(0.01)
        say("background")
async def leave_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(30))
async def main():
    interrupt(0.3)
    task = asyncio.create_task(background())
    await {wait}
try:
    compat.run(main)
except KeyboardInterrupt as error:
    say(repr(error))
say(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
""",
    )
    assert (ended.out, ended.error) == ("background\nKeyboardInterrupt()\nTrue\n", "")


@pytest.mark.parametrize("when", ["before it begins", "as it ends"])
def test_ctrl_c_at_the_edges_of_compat_run(when):
    """It comes out as it does out of trio.run(), and not in a group."""
    program = f"""
import compat, trio
class Interrupt(trio.abc.Instrument):
    def before_run(self):
        signal.raise_signal(signal.SIGINT)
@trio.lowlevel.enable_ki_protection
async def interrupted():
    signal.raise_signal(signal.SIGINT)
when = {when!r}
for _ in range(20):  # trio's order is random until the loop is open
    try:
        if when == "before it begins":
            compat.run(trio.lowlevel.checkpoint, instruments=[Interrupt()])
        else:
            compat.run(interrupted)
    except KeyboardInterrupt:
        continue
    say("not interrupted")
say(compat.run(trio.sleep, 0))
"""
    ended = Ended(PRELUDE + program)
    assert (ended.out, ended.error) == ("None\n", "")


@pytest.mark.parametrize("path", ["own", "instrument", "plain", "task", "open_loop"])
def test_ctrl_c_at_a_random_moment(path):
    """However often: KeyboardInterrupt comes out of the run, all has ended, and the thread runs loops as before."""
    ended = Ended(
        f"""
        import sys
        sys.path.insert(0, {str(HERE)!r})
        import interrupts
        sys.exit(interrupts.main({path!r}, {INTERRUPTS}))
        """,
        *("-W", "ignore"),  # a coroutine that Ctrl-C came before is not awaited
    )
    assert ended.out == f"{path}: 0 of {INTERRUPTS} failed\n", ended.out + ended.error
    assert ended.status == 0


# --- SystemExit and what else ends a loop ----------------------------------------------------------------------------

ENDS = {
    "SystemExit in main": """
async def main():
    sys.exit(3)
asyncio.run(main())
""",
    "SystemExit in main, later": """
async def main():
    task = asyncio.create_task(asyncio.sleep(30))
    await asyncio.sleep(0.01)
    try:
        sys.exit("message")
    finally:
        say("main")
asyncio.run(main())
""",
    "SystemExit in a task": """
async def fail():
    await asyncio.sleep(0.01)
    sys.exit(4)
async def main():
    task = asyncio.create_task(fail())
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "SystemExit in a task that is awaited": """
async def fail():
    sys.exit(4)
async def main():
    try:
        await asyncio.create_task(fail())
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "SystemExit in a task group": """
async def fail():
    await asyncio.sleep(0.01)
    sys.exit(4)
async def main():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "SystemExit in a callback": """
async def main():
    asyncio.get_running_loop().call_soon(sys.exit, 5)
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "KeyboardInterrupt in a callback": """
def fail():
    raise KeyboardInterrupt
async def main():
    asyncio.get_running_loop().call_later(0.01, fail)
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "KeyboardInterrupt in a task": """
async def fail():
    raise KeyboardInterrupt
async def main():
    task = asyncio.create_task(fail())
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        say("main", repr(error))
        raise
asyncio.run(main())
""",
    "SystemExit leaves the loop usable": """
loop = asyncio.new_event_loop()
loop.call_soon(sys.exit, 5)
loop.call_soon(say, "the callback behind it runs later")
try:
    loop.run_forever()
except SystemExit as error:
    say(repr(error))
say(loop.run_until_complete(asyncio.sleep(0.01, "goes on")))
loop.close()
""",
    "other exceptions in a callback do not end it": """
async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: say(context["message"], repr(context["exception"])))
    loop.call_soon(divmod, 1, 0)
    await asyncio.sleep(0.01)
    return "value"
say(asyncio.run(main()))
""",
    "exception handler that fails": """
import logging
logging.basicConfig(format="%(message)s", stream=sys.stdout)
def handler(loop, context):
    raise ValueError("handler")
async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(handler)
    loop.call_soon(divmod, 1, 0)
    await asyncio.sleep(0.01)
    return "value"
logging.raiseExceptions = False
say(asyncio.run(main()))
""",
    "exception of a task that nobody retrieves": """
async def fail():
    raise ValueError("lost")
async def main():
    asyncio.create_task(fail(), name="T")
    await asyncio.sleep(0.01)
asyncio.run(main())
""",
    "loop that is never closed": """
loop = asyncio.new_event_loop()
say(loop.run_until_complete(asyncio.sleep(0, "value")))
""",
}


@pytest.mark.parametrize("program", ENDS.values(), ids=ENDS)
def test_end(program):
    run_both(program, compare=errors)


def test_end_with_an_open_loop():
    """Nobody has closed the loop or its task: asyncio complains of the task, we may; the program ends all the same."""
    program = """
async def body():
    await asyncio.sleep(30)
loop = asyncio.new_event_loop()
task = loop.create_task(body(), name="T")
say(loop.run_until_complete(asyncio.sleep(0, "value")))
"""
    run_both(program, compare=lambda error: "Traceback" in error)


@pytest.mark.parametrize("error", ["SystemExit(6)", "KeyboardInterrupt()"])
@pytest.mark.parametrize("where", ["task", "callback"])
def test_end_of_compat_run(error, where):
    """There is no loop to stop: the block ends, its tasks are cancelled, and the exception comes out of trio.run()."""
    ended = Ended(
        PRELUDE
        + f"""
import compat, trio
from compat import asyncio
def fail():
    raise {error}
async def fail_in_task():
    fail()
async def background():
    try:
        await asyncio.sleep(30)
    finally:
        say("background")
async def main():
    task = asyncio.create_task(background())
    await trio.sleep(0.01)
    failing = asyncio.create_task(fail_in_task()) if {where!r} == "task" else asyncio.get_running_loop().call_soon(fail)
    try:
        await trio.sleep(30)
    finally:
        say("main")
try:
    compat.run(main)
except BaseException as error:
    say(repr(error))
""",
    )
    assert ended.out == f"main\nbackground\n{error}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM and SIGUSR1")
def test_signals_of_other_kinds():
    ended = run_both("""
async def main():
    loop = asyncio.get_running_loop()
    came = asyncio.Queue()
    loop.add_signal_handler(signal.SIGUSR1, came.put_nowait, "USR1")
    loop.add_signal_handler(signal.SIGTERM, came.put_nowait, "TERM")
    os.kill(os.getpid(), signal.SIGUSR1)
    say(await came.get())
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    say(await came.get())
    loop.remove_signal_handler(signal.SIGUSR1)
    say(signal.getsignal(signal.SIGUSR1))
asyncio.run(main())
say(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
""")
    assert ended.out.split("\n")[:2] == ["USR1", "TERM"]
