"""--to-native: what it makes of each form of import, what it leaves with its reason, and that programs do the same."""

import asyncio
import subprocess
import sys
import textwrap
import warnings

import pytest

import compat
from compat import native
from compat.codemod import change, to_native
from compat.codemod._to_native import (
    BY_CALL,
    COMMENTS,
    DEFINES_A_LOOP,
    DOCTEST,
    FALLBACK,
    FOR_EXACT,
    FREE,
    NAMES,
    NO_NURSERY,
    NOT_SURE,
    REFUSED,
    SAME,
    STAR,
    STAYS,
    WHOLE_NAME,
    WITH_A_LOOP,
)
from test_codemod import ENVIRONMENT, codemod
from test_codemod_native import printed
from worlds import PATIENCE, ROOT

# --- the imports: each form before and after --------------------------------------------------------------------------

MODULES = {
    "import asyncio": [
        ("import asyncio\n", "from compat import native as asyncio\n"),
        ("import asyncio  # why\nimport os\n", "from compat import native as asyncio  # why\nimport os\n"),
        (
            "import asyncio\nimport os\n\nimport attr\n",
            "import os\n\nimport attr\nfrom compat import native as asyncio\n",
        ),
        ("import os\n\nfrom compat import asyncio\n", "import os\n\nfrom compat import native as asyncio\n"),
        ("import asyncio as aio\nimport os\n", "import os\n\nfrom compat import native as aio\n"),
        ("from compat import asyncio as aio\n", "from compat import native as aio\n"),
        ("from compat import asyncio, run\n", "from compat import native as asyncio, run\n"),
        ("import compat.asyncio as asyncio\n", "from compat import native as asyncio\n"),
        ("import asyncio, os\n", "import os\n\nfrom compat import native as asyncio\n"),
        (
            "# For it all.\nimport asyncio\nimport os\n",
            "# For it all.\nfrom compat import native as asyncio\nimport os\n",
        ),
        ("def f(): import asyncio, os; os\n", "def f(): import os; from compat import native as asyncio; os\n"),
        ("import asyncio\nimport asyncio.subprocess\n", "from compat import native as asyncio\n"),
        ("import asyncio.queues as q\n", "from compat.native import queues as q\n"),
        ("import asyncio.log as l\n", "import asyncio.log as l\n"),
    ],
    "from asyncio import": [
        (
            "from asyncio import Queue, sleep, create_task as spawn, run\n",
            "from compat.native import Queue, sleep, create_task as spawn, run\n",
        ),
        ("from compat.asyncio import sleep\n", "from compat.native import sleep\n"),
        (
            "from asyncio import Queue as Queue  # noqa: F401\n",
            "from compat.native import Queue as Queue  # noqa: F401\n",
        ),
        (
            "from asyncio import (\n    # waits\n    sleep,  # a nap\n    run,\n)  # all\n",
            "from compat.native import (\n    # waits\n    sleep,  # a nap\n    run,\n)  # all\n",
        ),
        ("from asyncio \\\n    import sleep, \\\n    run\n", "from compat.native \\\n    import sleep, \\\n    run\n"),
        (
            "from asyncio import sleep\nimport os\n\nimport attr\n",
            "import os\n\nimport attr\nfrom compat.native import sleep\n",
        ),
        ("import sys\nimport re; from asyncio import run\n", "import sys\nimport re; from compat.native import run\n"),
        (
            "import zlib\nfrom asyncio import sleep\nfrom mine import sleep\n",  # which of them is meant stays
            "import zlib\nfrom compat.native import sleep\nfrom mine import sleep\n",
        ),
        ("x = 1\r\nfrom asyncio import run\r\n", "x = 1\r\nfrom compat.native import run\r\n"),
        ("\x0cx = '\x1c'\nfrom asyncio import run\n", "\x0cx = '\x1c'\nfrom compat.native import run\n"),
        ("é = 'é'; from asyncio import run; 'é'\n", "é = 'é'; from compat.native import run; 'é'\n"),
    ],
    "parts of asyncio": [
        ("from asyncio.subprocess import PIPE, Process\n", "from compat.native.subprocess import PIPE, Process\n"),
        ("from asyncio import subprocess\n", "from compat.native import subprocess\n"),
        ("import asyncio.subprocess\n", "from compat import native as asyncio\n"),
        ("from asyncio.queues import Queue\n", "from compat.native import Queue\n"),
        ("from asyncio . tasks import sleep\n", "from compat.native import sleep\n"),
        ("from asyncio.base_events import Server\n", "from compat.native import Server\n"),
    ],
    "branches and functions": [
        (
            "try:\n    from asyncio import timeout\nexcept ImportError:\n    from async_timeout import timeout\n",
            "try:\n    from compat.native import timeout\nexcept ImportError:\n    from async_timeout import timeout\n",
        ),
        (
            "if sys.version_info >= (3, 11):\n    from asyncio import timeout\n"
            "else:\n    from async_timeout import timeout\n",
            "if sys.version_info >= (3, 11):\n    from compat.native import timeout\n"
            "else:\n    from async_timeout import timeout\n",
        ),
        (
            "try:\n    from asyncio.exceptions import TimeoutError\n"
            "except ImportError:\n    from asyncio import TimeoutError\n",
            "try:\n    from compat.native import TimeoutError\n"
            "except ImportError:\n    from compat.native import TimeoutError\n",
        ),
        ("def f():\n    from asyncio import sleep\n", "def f():\n    from compat.native import sleep\n"),
        (
            "def f():\n    global run\n    from asyncio import run\n",
            "def f():\n    global run\n    from compat.native import run\n",
        ),
        ("try: import asyncio\nfinally: pass\n", "try: from compat import native as asyncio\nfinally: pass\n"),
    ],
    "what native has not": [
        (
            "from asyncio import iscoroutine, sleep\n",
            "from asyncio import iscoroutine\n\nfrom compat.native import sleep\n",
        ),
        (
            "import os\nfrom asyncio import iscoroutine, sleep\n\nimport attr\n",
            "import os\nfrom asyncio import iscoroutine\n\nimport attr\nfrom compat.native import sleep\n",
        ),
        (
            "from asyncio import iscoroutine, sleep  # noqa: F401\n",
            "from asyncio import iscoroutine  # noqa: F401\nfrom compat.native import sleep  # noqa: F401\n",
        ),
        (
            "from asyncio import iscoroutine, sleep  # both\n",
            "from asyncio import iscoroutine\nfrom compat.native import sleep  # both\n",
        ),
        (
            "from asyncio import (  # type: ignore\n    # asks\n    iscoroutine,  # of it\n\n"
            "    # waits\n    sleep,\n    # end\n)\n",
            "from asyncio import (  # type: ignore\n    # asks\n    iscoroutine,  # of it\n)\n\n"
            "from compat.native import (  # type: ignore\n    # waits\n    sleep,\n    # end\n)\n",
        ),
        (
            "from asyncio import (sleep, run,\n    iscoroutine)\n",
            "from asyncio import iscoroutine\n\nfrom compat.native import sleep, run\n",
        ),
        (
            "from asyncio import ( sleep\n    , iscoroutine )\n",  # the commas stand before the names
            "from asyncio import iscoroutine\n\nfrom compat.native import sleep\n",
        ),
        (
            "if x: from asyncio import isfuture, run\n",
            "if x: from asyncio import isfuture; from compat.native import run\n",
        ),
        (
            "from asyncio.tasks import ensure_future, sleep\n",
            "from asyncio.tasks import ensure_future\n\nfrom compat.native import sleep\n",
        ),
        (
            "if TYPE_CHECKING:\n    from asyncio import AbstractEventLoop, Queue\nx: 'Queue[AbstractEventLoop]'\n",
            "if TYPE_CHECKING:\n    from asyncio import AbstractEventLoop\n    from compat.native import Queue\n"
            "x: 'Queue[AbstractEventLoop]'\n",
        ),
        (
            "try:\n    from asyncio import eager_task_factory\nexcept ImportError:\n    eager_task_factory = None\n",
            "try:\n    from asyncio import eager_task_factory\nexcept ImportError:\n    eager_task_factory = None\n",
        ),
    ],
    "doctests": [
        (
            "'''\n>>> import asyncio\n>>> from asyncio import run  \n>>> asyncio.run(f())\n'''\nimport asyncio\n",
            "'''\n>>> from compat import native as asyncio\n>>> from compat.native import run  \n>>> asyncio.run(f())\n"
            "'''\nfrom compat import native as asyncio\n",
        ),
    ],
}


@pytest.mark.parametrize(("before", "after"), [pair for pairs in MODULES.values() for pair in pairs])
def test_each_form_of_import(before, after):
    assert to_native(before).text == after
    assert to_native(before).refusal == ""
    compile(after, "<after>", "exec")
    assert to_native(after).text == after


@pytest.mark.parametrize(("before", "after"), MODULES["what native has not"])
def test_what_stays_is_named(before, after):
    left = to_native(before).left
    assert left
    assert all(reason.startswith(STAYS) and "compat.native has no" in reason for _, reason in left)
    lines = before.splitlines()
    assert all(use.api.rpartition(".")[2] in lines[use.line - 1] for use, _ in left)


def test_a_long_import_is_split_into_lines():
    names = sorted(NAMES - {"Queue"})[:12]
    after = to_native(f"def f():\n    from asyncio import iscoroutine, {', '.join(names)}\n").text
    listed = "".join(f"        {name},\n" for name in names)
    assert after == f"def f():\n    from asyncio import iscoroutine\n    from compat.native import (\n{listed}    )\n"


# --- modules that are left as they are --------------------------------------------------------------------------------

LEFT = {
    "from asyncio import *\nsleep(1)\n": (NOT_SURE, {1: STAR}),
    "import compat.asyncio\ncompat.asyncio.sleep(1)\n": (NOT_SURE, {1: WHOLE_NAME}),
    "import asyncio.events\nasyncio.sleep(1)\n": (REFUSED, {1: "compat.native has no events"}),
    "from asyncio import run\nimport importlib\na = importlib.import_module('asyncio')\n": (NOT_SURE, {3: BY_CALL}),
    "try:\n    from async_timeout import timeout\nexcept ImportError:\n    from asyncio import timeout\n": (
        NOT_SURE,
        {4: FALLBACK},
    ),
    "try:\n    from compat import asyncio\nexcept ImportError:\n    import asyncio\nasyncio.run(f())\n": (
        NOT_SURE,
        {4: FALLBACK},
    ),
    # What compat's exact side is given.
    "import compat\nfrom asyncio import Queue\nsend, receive = compat.as_channels(Queue())\n": (
        REFUSED,
        {3: FOR_EXACT},
    ),
    "from compat import run\nfrom asyncio import create_task\nasync def main(): create_task(main())\nrun(main)\n": (
        REFUSED,
        {4: NO_NURSERY.format(name="asyncio.create_task")},
    ),
    "from asyncio import (sleep, iscoroutine,  # two\n    run)\n": (NOT_SURE, {1: COMMENTS}),
    "import asyncio\nclass Mine(asyncio.SelectorEventLoop): pass\n": (DEFINES_A_LOOP, {}),
    # What would hang, or tell objects apart by their classes.
    "from asyncio import Future, sleep\nasync def f(x):\n    isinstance(x, Future)\n    await sleep(1)\n": (
        REFUSED,
        {3: "compat.native has no Future"},
    ),
    "from asyncio import isfuture, sleep\nisfuture(sleep)\n": (REFUSED, {2: "compat.native has no isfuture"}),
    "from asyncio import ensure_future, sleep\nensure_future(sleep(1))\n": (
        REFUSED,
        {2: "compat.native has no ensure_future"},
    ),
    "from asyncio import get_running_loop, run\nasync def main(): get_running_loop()\nrun(main())\n": (
        REFUSED,
        {2: "compat.native has no get_running_loop"},
    ),
    "import asyncio\nloop = asyncio.get_event_loop()\nloop.time()\nloop.add_signal_handler(1, print)\n": (
        REFUSED,
        {
            2: "compat.native has no get_event_loop",
            3: "trio has no loop object",
            4: "trio has no loop object",
        },
    ),
    "import asyncio\nfrom asyncio import get_running_loop\nasync def f(): get_running_loop()\nasyncio.run(f())\n": (
        REFUSED,
        {3: "compat.native has no get_running_loop"},
    ),
    "from asyncio import CancelledError, get_running_loop\ntry: get_running_loop()\nexcept CancelledError: pass\n": (
        REFUSED,
        {2: "compat.native has no get_running_loop"},
    ),
    "from asyncio import Task, get_running_loop\nisinstance(get_running_loop(), Task)\n": (
        REFUSED,
        {2: "compat.native has no get_running_loop"},
    ),
    # What native refuses when it is called or asked for.
    "import asyncio\nasyncio.get_event_loop()\n": (REFUSED, {2: "compat.native has no get_event_loop"}),
    "import asyncio\ndef f(x: asyncio.Future): pass\n": (REFUSED, {2: "compat.native has no Future"}),
    "from asyncio import run\nrun(f(), debug=True)\n": (REFUSED, {2: "run() takes no debug="}),
    "from asyncio import Task\nasync def f(task: Task): task.uncancel()\n": (
        REFUSED,
        {2: "compat.native has no Task.uncancel"},
    ),
    "import asyncio\nfrom asyncio import get_running_loop\nasyncio.get_running_loop()\n": (
        REFUSED,
        {3: "compat.native has no get_running_loop"},
    ),
}


@pytest.mark.parametrize("before", LEFT)
def test_modules_that_are_left_as_they_are(before):
    refusal, reasons = LEFT[before]
    after = to_native(before)
    assert (after.text, after.refusal) == (before, refusal)
    assert {use.line: reason.partition(":")[0].rstrip(".") for use, reason in after.left} == {
        line: reason.partition(":")[0] for line, reason in reasons.items()
    }


NAMED = {
    "import asyncio, pytest\n@pytest.mark.asyncio\nasync def test(): await asyncio.sleep(1)\n": [2],
    "import asyncio\nfrom unittest import IsolatedAsyncioTestCase\n"
    "class Test(IsolatedAsyncioTestCase):\n    async def test(self): await asyncio.sleep(1)\n": [3],
    "import asyncio, sys\nif sys.platform == 'win32':\n    asyncio.set_event_loop_policy(None)\nasyncio.run(f())\n": [
        3
    ],
    "from __future__ import annotations\nimport asyncio\ndef f(x: asyncio.Future): asyncio.run(x)\n": [3],
    "import asyncio\ndef f(x: 'asyncio.Future[int]'): asyncio.run(x)\n": [2],
    "from asyncio import get_running_loop, sleep\nasync def f(): await sleep(get_running_loop().time())\n": [1],
    "import compat\nfrom asyncio import sleep\nasync def f(): await sleep(1)\ncompat.run(f)\n": [],
    "import asyncio, compat\nasync def f():\n    async with compat.open_loop(): asyncio.create_task(f())\n"
    "asyncio.run(f())\n": [],
}


@pytest.mark.parametrize("before", NAMED)
def test_what_is_not_run_or_has_its_loop_is_only_named(before):
    after = to_native(before)
    assert (after.refusal, [use.line for use, _ in after.left]) == ("", NAMED[before])
    assert "compat" in after.text
    assert [line for line in after.text.splitlines() if "import" not in line and line] == [
        line for line in before.splitlines() if "import" not in line
    ]


def test_a_doctest_that_cannot_be_changed_is_named():
    after = to_native("'''Doc.\n\n>>> from asyncio import Future\n'''\nimport asyncio\nasyncio.run(f())\n")
    assert "from asyncio import Future" in after.text
    assert [(use.line, reason) for use, reason in after.left] == [(3, DOCTEST)]


# --- why that is right: run ------------------------------------------------------------------------------------------


def test_which_names_are_the_same_in_both():
    assert SAME < NAMES
    both = {name for name in NAMES if getattr(asyncio, name, None) is getattr(native, name)}
    assert both - SAME == ({"QueueShutDown"} if sys.version_info >= (3, 13) else set()) | {"subprocess"} & both


def test_what_stays_works_in_a_native_run_or_raises_an_error():
    async def coroutine():
        return 1

    async def main():
        made = native.sleep(0)
        assert asyncio.iscoroutine(made)
        await made
        assert asyncio.iscoroutinefunction(native.wait_for)
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # iscoroutinefunction(), from 3.14 on
        native.run(main())
    assert FREE.isdisjoint(WITH_A_LOOP | NAMES)


def test_what_does_not_stay_would_hang_or_tell_tasks_apart():
    async def main():
        task = native.create_task(native.sleep(0))
        assert not isinstance(task, asyncio.Future)
        assert not asyncio.isfuture(task)
        assert asyncio.get_event_loop() is loop
        assert not loop.is_running()
        async with compat.open_loop():
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await future
            assert not isinstance(caught.value, native.CancelledError)

    loop = asyncio.new_event_loop()  # what get_event_loop() makes up to 3.13, where none was set
    asyncio.set_event_loop(loop)
    native.run(main())
    asyncio.set_event_loop(None)
    loop.close()


# --- programs do the same afterwards ---------------------------------------------------------------------------------

PROGRAMS = {
    "names of every kind": """
        from asyncio import Queue, TaskGroup, TimeoutError, create_task as spawn, run, sleep, timeout, wait_for

        async def feed(queue):
            for number in range(3):
                await queue.put(number)
                await sleep(0)

        async def main():
            queue = Queue(2)
            async with TaskGroup() as group:
                group.create_task(feed(queue))
                print([await queue.get() for _ in range(3)])
            try:
                await wait_for(queue.get(), 0.01)
            except TimeoutError as error:
                print(type(error), error)
            try:
                async with timeout(0.01):
                    await sleep(3600)
            except TimeoutError:
                print("late")
            task = spawn(sleep(0, "result"))
            print(await task)

        run(main())
    """,
    "names of other kinds beside": """
        import sys
        from asyncio import (
            AbstractEventLoop,  # declared
            CancelledError,
            QueueEmpty,
            Queue,
            create_task,
            iscoroutine,  # asked
            run,
            sleep,
        )

        async def main(loop: AbstractEventLoop | None = None):
            waiting = sleep(0)
            print(iscoroutine(waiting), loop)
            await waiting
            try:
                Queue().get_nowait()
            except QueueEmpty as error:
                print(repr(error))
            task = create_task(sleep(3600))
            await sleep(0.01)
            task.cancel()
            try:
                await task
            except CancelledError:
                print("cancelled")

        run(main())
    """,
    "names that shadow": """
        from asyncio import sleep as print_, run as sleep
        from asyncio import Queue as list

        async def main():
            queue = list()
            await queue.put(1)
            await print_(0)
            print(await queue.get())

        sleep(main())
    """,
    "names in functions and classes": """
        def load():
            global nap
            from asyncio import sleep as nap

        class Box:
            from asyncio import Queue, sleep as _sleep

            async def get(self):
                queue = self.Queue()
                await Box._sleep(0)
                await queue.put(1)
                return await queue.get()

        async def main():
            await nap(0)
            print(await Box().get())

        load()
        if True: from asyncio import run; run(main())
    """,
    "a fallback": """
        try:
            from asyncio import TaskGroup, timeout
        except ImportError:  # Python 3.10
            from async_timeout import timeout
            from taskgroup import TaskGroup
        from asyncio import run, sleep

        async def main():
            async with timeout(5), TaskGroup() as group:
                group.create_task(sleep(0))
            print("ended")

        run(main())
    """,
    "child processes": """
        import asyncio.subprocess
        import sys
        from asyncio import create_subprocess_exec as spawn, run, subprocess
        from asyncio.subprocess import PIPE

        async def main():
            process = await spawn(sys.executable, "-c", "print(3)", stdout=PIPE)
            print(await process.communicate(), subprocess.PIPE, asyncio.subprocess.STDOUT)

        run(main())
    """,
}

# Its run needs native's nursery, and `subprocess` is a name for native's module there.
NOTHING_FOR_TRIO = {"child processes"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_print_the_same(name):
    """On asyncio, on native, and after the codemod, as far as that goes."""
    before = textwrap.dedent(PROGRAMS[name])
    after = to_native(before)
    assert (after.refusal, "compat.native" in after.text) == ("", True)
    expected = printed(before)
    assert "Error(" not in expected.replace("QueueEmpty()", "")
    assert printed(after.text) == expected != ""
    on_trio = change(after.text)
    assert on_trio.refusal == ""
    assert "trio." in on_trio.text or name in NOTHING_FOR_TRIO
    assert printed(on_trio.text) == expected


def test_the_step_of_the_guide():
    guide = ROOT / "examples" / "guide"
    texts = [(guide / name).read_text() for name in ("step2_advice.py", "step3_native.py")]
    after = to_native(texts[0])
    assert (after.refusal, after.left) == ("", [])
    assert after.text.partition('"""\n')[2] == texts[1].partition('"""\n')[2]


# --- several modules -------------------------------------------------------------------------------------------------

TOGETHER = {
    "all of them go": (
        {
            "a.py": "__all__ = ['Queue', 'nap']\nfrom asyncio import Queue as Queue, sleep as nap\n",
            "b.py": "from a import *\n",
            "main.py": "import asyncio\nimport b\nasync def main():\n    await b.nap(0)\n    print(b.Queue().empty())\n"
            "asyncio.run(main())\n",
        },
        {"a.py", "main.py"},
        [],
    ),
    "a name goes to one that stays": (
        {
            "a.py": "from asyncio import Queue, sleep\n",
            "b.py": "from a import *\n",
            "main.py": "import b\nfrom asyncio import ensure_future, run\nasync def main():\n    queue = b.Queue()\n"
            "    task = ensure_future(queue.get())\n    await b.sleep(0)\n    await queue.put(1)\n"
            "    print(await task)\n"
            "run(main())\n",
        },
        set(),
        ["a.py: left alone: it shares Queue, sleep with main.py"],
    ),
    "a name is another module's": (
        {
            "a/__init__.py": "",
            "a/tools.py": "from asyncio import sleep\n",
            "b/__init__.py": "from . import tools\n",
            "b/tools.py": "def sleep(): print('b')\n",
            "main.py": "import b\nfrom asyncio import isfuture\nfrom b.tools import sleep\nsleep()\nb.tools.sleep()\n"
            "isfuture(b)\n",
        },
        {"a/tools.py"},
        ["main.py: left alone: native does not have"],
    ),
    "a name goes by a package": (
        {
            "a/__init__.py": "from .tools import sleep as nap\n",
            "a/tools.py": "from asyncio import sleep\n",
            "b/__init__.py": "import a\nfrom asyncio import isfuture\nisfuture(a.nap)\n",
            "main.py": "import b\nprint(b.a.nap.__module__)\n",
        },
        set(),
        ["a/tools.py: left alone: it shares nap with b/__init__.py"],
    ),
    "a run has no loop for what stays": (
        {
            "lib.py": "from asyncio import get_event_loop, Event\nasync def work():\n    event = Event()\n"
            "    get_event_loop().call_soon(event.set)\n    await event.wait()\n    print('set')\n",
            "other.py": "from asyncio import sleep\nasync def nap(): await sleep(0)\n",
            "main.py": "import asyncio, lib, other\nasync def main():\n    await other.nap()\n    await lib.work()\n"
            "asyncio.run(main())\n",
        },
        set(),
        [
            "main.py: left alone: its run would have no loop for lib.py, which stays on asyncio",
            "other.py: left alone: main.py runs it, and stays on asyncio",
        ],
    ),
    "a run has no loop for what needs one": (
        {
            "lib.py": "from asyncio import get_running_loop, sleep\nasync def work():\n    await sleep(0)\n"
            "    print(get_running_loop().is_running())\n",
            "main.py": "import asyncio, lib\nasyncio.run(lib.work())\n",
        },
        set(),
        ["main.py: left alone: its run would have no loop for lib.py, which stays on asyncio"],
    ),
    "a run on the exact side has a loop": (
        {
            "lib.py": "from asyncio import get_running_loop, sleep\nasync def work():\n    await sleep(0)\n"
            "    print(get_running_loop().is_running())\n",
            "main.py": "from compat import asyncio\nimport lib\nasyncio.get_event_loop_policy()\n"
            "asyncio.run(lib.work())\n",
        },
        {"lib.py"},
        ["main.py: left alone: native does not have all that it uses"],
    ),
    "a loop is open": (
        {
            "lib.py": "from asyncio import get_running_loop, sleep\nasync def work():\n    await sleep(0)\n"
            "    print(get_running_loop().is_running())\n",
            "main.py": "import asyncio, compat, lib\nasync def main():\n    async with compat.open_loop():\n"
            "        await lib.work()\nasyncio.run(main())\n",
        },
        {"lib.py", "main.py"},
        [],
    ),
    "a function is replaced by its name": (
        {
            "lib.py": "import asyncio\nasync def work():\n    await asyncio.sleep(0)\n    print('slept')\n",
            "main.py": "import asyncio, lib\nfrom unittest.mock import patch\nasync def fake(delay): print('fake')\n"
            "with patch('asyncio.sleep', fake): asyncio.run(lib.work())\n",
        },
        set(),
        ["lib.py: left alone: a module puts something else in the place of asyncio.sleep"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOGETHER)
def test_modules_of_one_program_go_together(name, tmp_path):
    files, changed, said = TOGETHER[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)

    def run_program() -> tuple[int, str]:
        command = [sys.executable, "main.py"]
        done = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.returncode, done.stdout

    on_asyncio = run_program()
    done = codemod("--to-native", "--write", ".", cwd=tmp_path)
    assert done.returncode == 0
    assert {path for path, text in files.items() if (tmp_path / path).read_text() != text} == changed
    for each in said:
        assert each in done.stderr
    # A loop that is open in a run of asyncio's is an error there.
    assert run_program() == ((0, "True\n") if name == "a loop is open" else on_asyncio)
    assert codemod("--to-native", "--check", ".", cwd=tmp_path).returncode == 0


def test_a_file_that_is_given_alone(tmp_path):
    """What runs it is not known then: `python -m compat` may."""
    lib = "from asyncio import sleep\nasync def work(): await sleep(0)\n"
    (tmp_path / "lib.py").write_text(lib)
    (tmp_path / "main.py").write_text("import asyncio, lib\nasyncio.get_event_loop()\nasyncio.run(lib.work())\n")
    done = codemod("--to-native", "--write", ".", cwd=tmp_path)
    assert "lib.py: left alone: main.py runs it, and stays on asyncio" in done.stderr
    assert codemod("--to-native", "--write", "lib.py", cwd=tmp_path).returncode == 0
    assert (tmp_path / "lib.py").read_text() == lib.replace("asyncio", "compat.native")


def test_what_the_command_says(tmp_path):
    (tmp_path / "a.py").write_text("import os\nfrom asyncio import iscoroutine, sleep\n")
    (tmp_path / "b.py").write_text("import asyncio\nasyncio.get_event_loop()\n")
    done = codemod("--to-native", ".", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,4 @@\n import os\n-from asyncio import iscoroutine, sleep\n"
        "+from asyncio import iscoroutine\n+\n+from compat.native import sleep\n",
    )
    assert done.stderr.splitlines() == [
        "a.py:2: asyncio.iscoroutine left alone: it stays asyncio's: compat.native has no iscoroutine: "
        "use inspect.iscoroutine().",
        f"b.py: left alone: {REFUSED}",
        "b.py:2: asyncio.get_event_loop left alone: "
        "compat.native has no get_event_loop: trio has no loop object: trio.lowlevel.current_trio_token()."
        "run_sync_soon() calls a function soon, trio.current_time() tells the time, trio.open_nursery() starts tasks.",
        "2 files read, 1 can be changed (--write does it); left alone: 1 file as a whole, 1 use of asyncio in others",
    ]
    assert codemod("--to-native", "--check", "--quiet", ".", cwd=tmp_path).returncode == 1
    assert codemod("--to-native", "--check", "b.py", cwd=tmp_path).returncode == 0
