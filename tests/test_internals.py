"""The inside of trio: what the core leans on there, and what it says of a trio that it does not know."""

import ast
import asyncio as std
import contextlib
import contextvars
import inspect
import re
import textwrap
import types
from pathlib import Path

import pytest
import trio
import trio.testing

import compat
from compat import adapters, asyncio
from compat.adapters import _asyncio
from compat.adapters._trio import names, runs
from compat.adapters._trio.cancellation import Cancelled
from compat.adapters.events import Loop
from worlds import WORLDS, Ended, virtual_time


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request):
    return request.param


# --- a trio that we do not know --------------------------------------------------------------------------------------

WAYS_IN = ["from compat import asyncio", "import compat; compat.run", "import compat.adapters.events"]
PRIVATE_NAMES = [
    "trio._core._run.setup_runner",
    "trio._core._run.GLOBAL_RUN_CONTEXT",
    "trio._core._ki.KIManager.install",
    "trio._core._run.CancelStatus.close",
    "trio._core._run.NurseryManager.__aexit__",
    "trio._core._run.Runner.entry_queue",
    "trio._core._run.TheIOManager.process_events",
    "trio._core._run.Task._attempt_abort",
    "trio._core._run.Task._cancel_status",
    "trio._core._run.Runner.runq",
    "trio._core._run.Deadlines._heap",
    "trio._core._run.Runner.task_exited",
    "trio._core._traps.WaitTaskRescheduled",
    "trio._core._traps._async_yield",
    "trio._threads.PARENT_TASK_DATA",
]


@pytest.mark.parametrize(
    ("way_in", "name"),
    [*[(way, "trio._core._run.unrolled_run") for way in WAYS_IN], *[(WAYS_IN[0], name) for name in PRIVATE_NAMES]],
)
def test_unknown_trio_says_what_to_do(way_in, name):
    """One name of trio's is missing, as in a release to come."""
    owner, _, attribute = name.rpartition(".")
    ended = Ended(f"""
        import trio, trio._core._run, trio._core._traps
        trio.__version__ = "99.0"
        type.__delattr__({owner}, {attribute!r}) if isinstance({owner}, type) else delattr({owner}, {attribute!r})
        try:
            {way_in}
        except ImportError as error:
            print(error)
    """)
    assert ended.error == ""
    assert "trio 99.0" in ended.out
    assert f"works with trio {names.WORKS_WITH}" in ended.out
    assert "Install one of these" in ended.out
    assert attribute in ended.out


def trees():
    """Each module of the project's, parsed, by its path below adapters."""
    folder = Path(adapters.__path__[0])
    return {path.relative_to(folder): ast.parse(path.read_text()) for path in folder.rglob("*.py")}


def test_each_private_name_is_checked():
    """What is used of trio's objects under a private name is named in the check at the import, too."""
    ours = {path: tree for path, tree in trees().items() if path.parts[0] == "_trio"}
    (check,) = (node for node in ours[Path("_trio/names.py")].body if isinstance(node, ast.Try))
    checked = {
        word
        for node in ast.walk(check)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for word in re.split(r"[\s.]+", node.value)
    }
    checked |= {alias.name for node in ast.walk(check) if isinstance(node, ast.ImportFrom) for alias in node.names}
    own, mine, used = set(), set(), set()
    for tree in ours.values():
        own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
                used.add(node.attr)
                if isinstance(node.value, ast.Name) and node.value.id == "self":
                    mine.add(node.attr)
    own |= {word for word in mine if word not in checked}
    loops = {"_asyncio", "_log_if_slow", "_run_timed"}  # our loop's, and a module
    assert {"_abort_func", "_epoll", "_heap", "_children"} <= used & checked
    # The last is in newer trio only.
    assert used - own - attributes_of_asyncios_objects() - loops - {"_getframe", "_cancel_reason"} <= checked


def attributes_of_asyncios_objects():
    """The private attributes that are checked at import by the class that owns them."""
    return {name for _, names in _asyncio.ATTRIBUTES for name in names.split()}


def names_of_ours(tree):
    """What a module defines under a private name: functions, classes, attributes of a class and of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))
                for part in ast.walk(target):
                    if isinstance(part, ast.Attribute) and ast.unparse(part.value) in ("self", "replacement"):
                        yield part.attr


def private_names_used(tree):
    """Each private attribute that a module looks at, also by getattr() and hasattr(), and each private import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            yield from (arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant))
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("asyncio"):
            yield from (alias.name for alias in node.names)


def test_private_names_of_asyncio_are_in_one_place():
    """Outside of adapters/_asyncio.py no function or class of asyncio's is used under a private name.

    And no attribute of its objects that is not checked at import.
    """
    modules = {path: tree for path, tree in trees().items() if path.parts[0] != "native"}
    there = {name for name in private_names_used(modules.pop(Path("_asyncio.py"))) if re.match("_[^_]", name)}
    assert {"_enter_task", "_PyTask", "_SendfileMode", "_FlowControlMixin"} <= there
    ours = {name for tree in modules.values() for name in names_of_ours(tree)}
    allowed = attributes_of_asyncios_objects() | ours | {"_getframe"}
    for path, tree in modules.items():
        used = {name for name in private_names_used(tree) if re.match("_[^_]", name)}
        if path.parts[0] != "_trio":  # where test_each_private_name_is_checked() looks
            assert used <= allowed, (path, used - allowed)
        assert private_names_of_imports(tree) <= attributes_of_asyncios_objects(), path


def private_names_of_imports(tree):
    """The private attributes that are looked up on what a module has imported from asyncio, as in `Handle._run`."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if "asyncio" in (alias.name, (getattr(node, "module", None) or "").partition(".")[0])
    }
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr)]
    return {node.attr for node in attributes if ast.unparse(node).partition(".")[0] in imported}


# What only the interpreter's own loop calls: it polls by itself, and sets signals by a file.
NOT_USED = {
    *("__init__", "_make_self_pipe", "_close_self_pipe", "_read_from_self", "_write_to_self", "_process_self_data"),
    *("_run_once", "_process_events", "_run_forever_setup", "_run_forever_cleanup", "_handle_signal"),
    *("_add_callback", "_add_callback_signalsafe", "_child_watcher_callback"),
    "_timer_handle_cancelled",  # each loop has an attribute of that name
}


def test_what_asyncios_functions_need_of_our_loop():
    """The methods of the interpreter's loop that ours has by inheritance find the attributes that they look at."""
    methods = {}
    for kind in reversed(Loop.__mro__):
        methods.update(vars(kind))
    inherited = {
        name: method
        for name, method in methods.items()
        if isinstance(method, types.FunctionType) and method.__module__.startswith("asyncio.") and name not in NOT_USED
    }
    assert {"call_exception_handler", "start_tls", "sock_recv", "create_datagram_endpoint"} <= inherited.keys()
    with contextlib.closing(Loop()) as loop:
        for name, function in inherited.items():
            needed = {node.attr for node in looks_at_self(function)}
            assert all(hasattr(loop, attribute) for attribute in needed), (name, needed)
            assert {each for each in needed & NOT_USED if methods[each].__module__.startswith("asyncio.")} == set(), (
                name
            )


def looks_at_self(function):
    """The attributes of `self` in the source of a method."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"]


def test_unknown_asyncio_says_what_to_do():
    """One name of asyncio's is missing, as in a Python to come."""
    for name in ("events._c__get_running_loop", "TimerHandle._when", "base_events._format_handle"):
        ended = Ended(f"""
            import asyncio
            owner, _, attribute = "asyncio.{name}".rpartition(".")
            owner = eval(owner)
            type.__delattr__(owner, attribute) if isinstance(owner, type) else delattr(owner, attribute)
            try:
                from compat import asyncio
            except ImportError as error:
                print(error)
        """)
        assert ended.error == ""
        assert "does not know the inside of asyncio in Python 3" in ended.out
        assert name.rpartition(".")[2] in ended.out


def test_private_names_are_used_in_one_place():
    """Outside of adapters/_trio no name of trio's is used that is not public."""
    for path, tree in trees().items():
        if path.parts[0] != "_trio":
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute):
                    assert node.attr not in {"runq", "entry_queue", "_core", "_cancel_status", "_abort_func"}, path
                    assert not (isinstance(node.value, ast.Name) and node.value.id == "trio" and node.attr[0] == "_"), (
                        path
                    )
                elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                    assert not node.module.startswith("trio._"), path


def test_unknown_trio_on_the_command_line():
    """The whole of it is one error with one line at the end, which says what to install."""
    ended = Ended(
        """
        import runpy, sys, trio
        trio.__version__ = "99.0"
        import trio._core._run
        del trio._core._run.unrolled_run
        sys.argv = ["compat", "-c", "print('not reached')"]
        runpy.run_module("compat", run_name="__main__", alter_sys=True)
        """
    )
    assert ended.status == 1
    assert ended.out == ""
    assert ended.error.splitlines()[-1].startswith("ImportError: asyncio-on-trio does not know the inside of trio 99.0")


# --- one exception for both worlds -----------------------------------------------------------------------------------


def caught_in_scope(world):
    async def main():
        errors = []
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await asyncio.sleep(1)
            except BaseException as error:
                errors.append(error)
                raise
        assert scope.cancelled_caught
        return errors[0]

    return world(main)


def test_cancelled_is_both(world):
    error = caught_in_scope(world)
    assert isinstance(error, trio.Cancelled)
    assert isinstance(error, asyncio.CancelledError)
    assert not isinstance(error, Exception)
    assert type(error).__mro__.index(trio.Cancelled) < type(error).__mro__.index(asyncio.CancelledError)
    assert "Cancelled" in repr(error)
    assert str(error)
    assert Cancelled.of(error) is error


def test_cancelled_stays_final():
    """For everybody else trio's class is as closed as before."""
    with pytest.raises(TypeError):

        class Mine(trio.Cancelled):
            pass

    with pytest.raises(TypeError):
        trio.Cancelled()
    with pytest.raises(TypeError):
        Cancelled()


# --- runs that stand still -------------------------------------------------------------------------------------------


def test_nothing_of_a_run_shows_while_it_stands_still():
    loop = Loop()
    try:
        for _ in range(2):
            assert loop.run_until_complete(asyncio.sleep(0, "value")) == "value"
            assert runs.current_runner() is None
            with pytest.raises(RuntimeError):
                trio.lowlevel.current_task()
            with pytest.raises(RuntimeError):
                trio.current_time()

            async def another():
                await trio.sleep(0)
                return trio.lowlevel.current_task().name

            assert "another" in trio.run(another)
            assert compat.run(another)
    finally:
        loop.close()


def test_trio_run_inside_a_callback_is_refused():
    """There is a run in this thread already: trio says so itself."""

    async def main():
        async def inner():
            pass

        with pytest.raises(RuntimeError, match="Attempted to call run\\(\\) from inside a run\\(\\)"):
            trio.run(inner)
        errors = []

        def callback():
            try:
                trio.run(inner)
            except RuntimeError as error:
                errors.append(str(error))

        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0.001)
        assert errors == ["Attempted to call run() from inside a run()"]

    asyncio.run(main())


def test_instruments_see_the_tasks(world):
    """A Task is a trio task to trio's instruments: spawned, stepped, exited."""

    class Watch(trio.abc.Instrument):
        def __init__(self):
            self.spawned, self.exited, self.stepped = [], [], set()

        def task_spawned(self, task):
            self.spawned.append(task.name)

        def before_task_step(self, task):
            self.stepped.add(task.name)

        def task_exited(self, task):
            self.exited.append(task.name)

    async def main():
        async def body():
            await asyncio.sleep(1)

        await asyncio.gather(*[asyncio.create_task(body(), name=f"T{n}") for n in range(3)])

    watch = Watch()
    world(main, instruments=[watch])
    assert {"T0", "T1", "T2"} <= watch.stepped


class Steps(trio.abc.Instrument):
    """Which of the tasks called T... were stepped, in what order."""

    def __init__(self):
        self.seen = []

    def before_task_step(self, task):
        if task.name.startswith("T"):
            self.seen.append(task.name)


def test_an_instrument_comes_and_goes():
    """A loop's own run steps its tasks itself; while there is an instrument, trio does. The order stays the same."""

    async def main():
        log, steps = [], Steps()
        loop = asyncio.get_running_loop()

        async def body(name, rounds):
            for n in range(rounds):
                log.append((name, n))
                loop.call_soon(log.append, (name, n, "callback"))
                await asyncio.sleep(0)
                if name == "T1" and n == 2:
                    trio.lowlevel.add_instrument(steps)
                if name == "T1" and n == 5:
                    trio.lowlevel.remove_instrument(steps)

        tasks = [asyncio.create_task(body(f"T{n}", 9), name=f"T{n}") for n in range(3)]
        await asyncio.gather(*tasks)
        expected = []
        for n in range(9):
            expected += [(f"T{i}", n, *kind) for kind in ((), ("callback",)) for i in range(3)]
        # A callback is called before the task that was queued after it.
        assert sorted(log) == sorted(expected)
        order = [entry[0] for entry in log if len(entry) == 2]
        assert order == ["T0", "T1", "T2"] * 9
        for name in ("T0", "T1", "T2"):
            own = [entry for entry in log if entry[0] == name]
            assert own == [(name, n, *kind) for n in range(9) for kind in ((), ("callback",))]
        assert steps.seen == ["T0", "T1", "T2"] * 2 + ["T0", "T1"]
        return log

    log = asyncio.run(main())
    assert len(log) == 54


def test_a_run_shows_trio_what_it_has():
    """In steps that the loop's run does itself: current task, task tree, statistics, RunVars, system tasks."""

    async def main():
        task = trio.lowlevel.current_task()
        assert asyncio.current_task().get_name() == task.name
        root = trio.lowlevel.current_root_task()
        seen, todo = set(), [root]
        while todo:
            seen.add(node := todo.pop())
            todo += [child for nursery in node.child_nurseries for child in nursery.child_tasks]
        assert task in seen
        assert trio.lowlevel.current_statistics().tasks_living == len(seen)

        queued = trio.lowlevel.current_statistics().tasks_runnable
        other = asyncio.create_task(asyncio.sleep(0))
        assert trio.lowlevel.current_statistics().tasks_runnable == queued + 1
        await other

        in_callback = []
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: in_callback.append((trio.lowlevel.current_task().name, asyncio.current_task())))
        await asyncio.sleep(0)
        assert in_callback == [("asyncio event loop", None)]

        ran = []

        async def system():
            ran.append(trio.lowlevel.current_task().parent_nursery.parent_task)

        trio.lowlevel.spawn_system_task(system)
        trio.lowlevel.current_trio_token().run_sync_soon(ran.append, "soon")
        await asyncio.sleep(0.01)
        assert ran == [root, "soon"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        "with trio.move_on_after(0.01): await trio.lowlevel.wait_task_rescheduled(lambda _: 1/0)",
        "async with trio.open_nursery() as n: n.start_soon(trio.lowlevel.wait_task_rescheduled, lambda _: 1/0); 1/0",
    ],
)
def test_what_breaks_trio_breaks_the_run(body):
    """In a process of its own: what is left of a broken run complains when it is collected, as trio's own does."""
    ended = Ended(f"""
import trio
from compat import asyncio

async def main():
    {body}

asyncio.run(main())
""")
    assert ended.status == 1
    assert "ZeroDivisionError: division by zero" in ended.error
    assert "\ntrio.TrioInternalError: " in ended.error


def test_wait_all_tasks_blocked_on_a_real_clock():
    """It waits for its cushion, each time, while asyncio's tasks are busy and idle in turns."""

    async def main():
        log = []

        async def body():
            for n in range(3):
                await asyncio.sleep(0.02)
                log.append(n)

        task = asyncio.create_task(body())
        for _ in range(2):
            await trio.testing.wait_all_tasks_blocked()
            assert len(log) < 3
            before = trio.current_time()
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert trio.current_time() - before >= 0.1
            assert log == [0, 1, 2]
            await task
            log.clear()
            task = asyncio.create_task(body())
        task.cancel()

    asyncio.run(main())


def test_wait_all_tasks_blocked(world):
    """trio.testing's helpers know when asyncio code waits."""

    async def main():
        log = []

        async def body():
            for n in range(5):
                await asyncio.sleep(0)
                log.append(n)
            await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(body())
        await trio.testing.wait_all_tasks_blocked()
        assert log == [0, 1, 2, 3, 4]
        task.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert task.cancelled()

    world(main)


def test_trio_checkpoint_assertions(world):
    """asyncio's functions are checkpoints exactly where asyncio's tasks would switch."""

    async def main():
        with trio.testing.assert_checkpoints():
            await asyncio.sleep(0)
        with trio.testing.assert_checkpoints():
            await asyncio.gather(asyncio.sleep(0))
        done = asyncio.get_running_loop().create_future()
        done.set_result(1)
        with trio.testing.assert_no_checkpoints():
            assert await done == 1
            async with asyncio.timeout(1):
                pass
            async with asyncio.TaskGroup():
                pass

    world(main)


def test_trios_own_primitives_in_tasks(world):
    """Each primitive that looks at trio's tasks, contended by asyncio Tasks."""

    async def main():
        log = []

        async def locked(lock, name):
            async with lock:
                log.append(name)
                await asyncio.sleep(0.1)
                await trio.sleep(0.1)

        for lock in (trio.Lock(), trio.StrictFIFOLock(), trio.Semaphore(1), trio.CapacityLimiter(1)):
            log.clear()
            async with trio.open_nursery() as nursery, asyncio.TaskGroup() as group:
                for n in range(2):
                    group.create_task(locked(lock, f"Task {n}"))
                    nursery.start_soon(locked, lock, f"trio {n}")
            assert sorted(log) == ["Task 0", "Task 1", "trio 0", "trio 1"]

        condition = trio.Condition()

        async def wait():
            async with condition:
                await condition.wait()
                return "notified"

        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        await asyncio.sleep(0.1)
        async with condition:
            condition.notify_all()
        assert await asyncio.gather(*tasks) == ["notified"] * 2

        async def server(task_status):
            task_status.started("started")
            await asyncio.sleep(1)

        async with trio.open_nursery() as nursery:
            assert await nursery.start(server) == "started"

    world(main)


def test_lock_of_a_task_that_has_ended(world):
    """trio breaks the lock of a task that ends while it holds it: an asyncio Task is no exception."""
    if not hasattr(trio, "BrokenResourceError") or not hasattr(trio.lowlevel, "add_parking_lot_breaker"):
        pytest.skip("this trio does not break locks")

    async def main():
        lock = trio.Lock()

        async def keep():
            await lock.acquire()

        await asyncio.create_task(keep())
        with trio.move_on_after(5) as scope:
            with pytest.raises(trio.BrokenResourceError):
                await lock.acquire()
        assert not scope.cancelled_caught

    world(main)


# --- trio tasks of many Tasks ----------------------------------------------------------------------------------------


def test_no_trace_of_the_task_before(world):
    """Whatever became of the Tasks before, a new one starts as a new trio task does."""

    async def fail():
        with trio.move_on_after(5):
            raise ValueError

    async def in_nursery():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0.1)

    async def shielded():
        with trio.CancelScope(shield=True):
            await trio.sleep(0.1)

    async def leaky():
        variable.set("leaked")
        scope = trio.CancelScope()
        scope.__enter__()
        await asyncio.sleep(0)
        scope.__exit__(None, None, None)

    async def state(name):
        task = trio.lowlevel.current_task()
        await asyncio.sleep(0)
        await trio.sleep(0)
        return (
            task.name == name,
            variable.get(),
            len(task.child_nurseries),
            trio.current_effective_deadline() > 500,
            task.custom_sleep_data,
            asyncio.current_task().cancelling(),
        )

    variable = contextvars.ContextVar("variable", default="unset")

    async def main():
        for _ in range(3):
            for before in (fail, in_nursery, shielded, leaky, trio.sleep_forever, asyncio.Event().wait):
                with trio.CancelScope() as scope:
                    async with asyncio.TaskGroup() as group:
                        first = [asyncio.create_task(before()) for _ in range(3)]
                        group.create_task(asyncio.sleep(50))
                        await asyncio.sleep(0.5)
                        for task in first:
                            task.cancel()
                        await asyncio.wait(first)
                        scope.cancel()
                [task.cancelled() or task.exception() for task in first]
                del first, task
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(state(f"G{n}"), name=f"G{n}") for n in range(3)]
                tasks += [asyncio.create_task(state(f"L{n}"), name=f"L{n}") for n in range(3)]
                assert await asyncio.gather(*tasks) == [(True, "unset", 0, True, None, 0)] * 6

    world(main)


def test_trio_task_that_somebody_holds_is_not_used_again(world):
    """By its trio task a library tells one Task from another."""

    async def main():
        held = []

        async def body():
            held.append(trio.lowlevel.current_task())
            await asyncio.sleep(0)
            assert held.count(trio.lowlevel.current_task()) == 1

        for _ in range(20):
            await asyncio.create_task(body())
            await asyncio.gather(body(), body())
        assert len(set(held)) == len(held) == 60

    world(main)


def test_task_in_a_group_sits_in_its_nursery(world):
    async def main():
        async def body():
            await asyncio.sleep(0)
            return trio.lowlevel.current_task().parent_nursery

        in_loop = await asyncio.create_task(body())
        assert in_loop is await asyncio.create_task(body())
        nurseries = []
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(body()) for _ in range(3)]
                (inner,) = trio.lowlevel.current_task().child_nurseries[-1:]
            assert [task.result() for task in tasks] == [inner] * 3
            nurseries.append(inner)
        assert in_loop not in nurseries
        assert len({*nurseries}) == 3

    world(main)


# --- the trio task of a Task -----------------------------------------------------------------------------------------


def trio_tasks_by_name():
    return {task.name: task for task in asyncio.get_running_loop()._nursery.child_tasks}


def test_a_task_has_a_trio_task_when_it_is_asked_for():
    async def main():
        known, go_on = [], asyncio.Event()

        async def body():
            await asyncio.sleep(0)
            known.append(trio.lowlevel.current_task())
            known.append(trio.lowlevel.current_task())
            await go_on.wait()
            known.append(trio.lowlevel.current_task())
            await trio.lowlevel.checkpoint()
            known.append(trio.lowlevel.current_task())

        task = asyncio.create_task(body(), name="T")
        await asyncio.sleep(0.01)
        assert trio_tasks_by_name()["T"] is known[0]
        go_on.set()
        await task
        assert known == [known[0]] * 4
        assert "T" not in trio_tasks_by_name()

    asyncio.run(main())


KINDS_OF_TASK = {
    "the interpreter's": std.Task,
    "a subclass": type("SubTask", (std.Task,), {}),
    "in Python": std.tasks._PyTask,
}


@pytest.mark.parametrize("kind", KINDS_OF_TASK.values(), ids=KINDS_OF_TASK)
def test_trio_in_tasks_of_each_kind(world, kind):
    """Also in those that a library makes by the real asyncio, or by a class of its own."""

    async def main():
        loop, log = asyncio.get_running_loop(), []

        async def body():
            await trio.sleep(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asyncio.sleep, 1)
            with trio.move_on_after(1) as scope:
                await loop.create_future()
            log.append(scope.cancelled_caught)
            with trio.CancelScope() as scope:
                scope.cancel()
                await asyncio.sleep(0)
            log.append(scope.cancelled_caught)
            try:
                await trio.sleep_forever()
            except asyncio.CancelledError as error:
                log.append(error.args)
                await trio.sleep(1)
            return "ended"

        task = kind(body(), loop=loop)
        await asyncio.sleep(4)
        task.cancel("enough")
        assert await task == "ended"
        assert log == [True, True, ("enough",)]

    world(main)


def test_a_nursery_in_a_cancelled_task_raises_no_group():
    """asyncio's code knows a CancelledError only, in Tasks and in trio tasks."""

    async def main():
        raised = []

        async def body():
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
            except BaseException as error:
                raised.append(error)
                raise

        task = asyncio.create_task(body())
        await asyncio.sleep(1)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task

        async def in_trio(task_status):
            task_status.started(asyncio.current_task())
            await body()

        async with trio.open_nursery() as nursery:
            task = await nursery.start(in_trio)
            await asyncio.sleep(1)
            task.cancel()
        assert [type(error) for error in raised] == [asyncio.CancelledError, asyncio.CancelledError]

    compat.run(main, clock=virtual_time())


@pytest.mark.slow
def test_an_error_of_the_schedulers_own_is_an_internal_error():
    """It ends the run, and does not leave a task waiting for ever."""
    ended = Ended("""
        import compat, trio
        async def main():
            trio.lowlevel.current_task()._schedule_points = "broken"
            await trio.lowlevel.checkpoint()
        try:
            compat.run(main)
        except trio.TrioInternalError as error:
            print(type(error.__cause__).__name__)
        print(compat.run(trio.sleep, 0))
    """)
    assert ended.out == "TypeError\nNone\n"


def test_stand_in_has_all_attributes_of_a_trio_task():
    """It sets them by itself. One that a new trio adds is missed here."""

    async def main():
        task = trio.lowlevel.current_task()
        assert type(task) is not trio.lowlevel.Task
        return [name for name in trio.lowlevel.Task.__slots__ if name != "__weakref__" and not hasattr(task, name)]

    assert asyncio.run(main()) == []
