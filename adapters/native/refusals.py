"""What asyncio has and native has not, each with trio's way to do it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

__all__ = ["NOT_EAGER", "OTHERS", "Refusing", "instead_of", "refuse", "refuse_others"]

NOT_EAGER = "a trio task does not start before its parent's next checkpoint"
_WAYS = {
    "trio has no loop object: trio.lowlevel.current_trio_token().run_sync_soon() calls a function soon, "
    "trio.current_time() tells the time, trio.open_nursery() starts tasks": """
        AbstractEventLoop BaseEventLoop EventLoop SelectorEventLoop ProactorEventLoop get_event_loop get_running_loop
        new_event_loop set_event_loop Handle Runner.get_loop Server.get_loop Task.get_loop""",
    "a timer is a task: trio.sleep_until() in a nursery, then the call": "TimerHandle",
    "trio has neither policies nor loops to choose from: trio.run() is all": """
        AbstractEventLoopPolicy DefaultEventLoopPolicy WindowsProactorEventLoopPolicy WindowsSelectorEventLoopPolicy
        get_event_loop_policy set_event_loop_policy IocpProactor""",
    "trio waits for its processes itself": """
        AbstractChildWatcher FastChildWatcher MultiLoopChildWatcher PidfdChildWatcher SafeChildWatcher
        ThreadedChildWatcher get_child_watcher set_child_watcher""",
    "a future made by hand is a trio.Event beside a variable, or a trio.open_memory_channel(1)": """
        Future isfuture Task.set_result Task.set_exception""",
    "a thread's result is what `await trio.to_thread.run_sync()` returns": "wrap_future",
    "use create_task() for a coroutine, or a nursery: trio.open_nursery()": "ensure_future",
    NOT_EAGER: "create_eager_task_factory eager_task_factory",
    "use inspect.iscoroutine()": "iscoroutine",
    "use inspect.iscoroutinefunction()": "iscoroutinefunction",
    "transports and protocols are a trio.abc.Stream: send_all(), receive_some(), aclose()": """
        BaseTransport ReadTransport WriteTransport Transport BaseProtocol BufferedProtocol Protocol StreamReaderProtocol
        StreamReader.set_transport StreamWriter.transport""",
    "datagrams are sent and received by a trio.socket.socket(type=trio.socket.SOCK_DGRAM)": """
        DatagramProtocol DatagramTransport""",
    "processes are trio.Process: trio.run_process(), trio.lowlevel.open_process()": """
        SubprocessProtocol SubprocessTransport""",
    "a server is trio.serve_listeners() in a nursery": "AbstractServer",
    "the connections of trio.serve_listeners() are tasks of its handler_nursery: cancel the cancel_scope of that": """
        Server.abort_clients Server.close_clients""",
    "a file is sent by reading it: trio.open_file(), send_all()": "SendfileNotAvailableError",
    "a cancelled scope stays cancelled: put a trio.CancelScope around what is to be cancelled": "Task.uncancel",
    "see trio.lowlevel.Task.context, of trio.lowlevel.current_task()": "Task.get_context",
    "see trio.lowlevel.Task.iter_await_frames()": """
        Task.get_stack Task.print_stack capture_call_graph format_call_graph print_call_graph FrameCallGraphEntry
        FutureCallGraph future_add_to_awaited_by future_discard_from_awaited_by""",
    "put a stream of your own behind the reader, such as trio.testing.MemoryReceiveStream": """
        StreamReader.exception StreamReader.feed_data StreamReader.feed_eof StreamReader.set_exception""",
}
# Parameters of asyncio's, on whichever Python, that trio has nothing for. None, 0 and False ask for nothing.
OTHERS = {
    "create_task": ("eager_start",),
    "open_connection": ("family", "proto", "flags", "interleave", "all_errors", "ssl_shutdown_timeout"),
    "open_unix_connection": ("ssl_shutdown_timeout",),
    "start_server": ("family", "flags", "reuse_port", "keep_alive", "ssl_shutdown_timeout"),
    "start_unix_server": ("cleanup_socket", "ssl_shutdown_timeout"),
}
_INSTEAD = {name: way for way, names in _WAYS.items() for name in names.split()}


def instead_of(name: str, owner: str = "asyncio") -> AttributeError:
    """The error for a name that is not there: it says what trio has, if asyncio has it."""
    full_name = name if owner == "asyncio" else f"{owner}.{name}"
    missing = f"compat.native has no {full_name}"
    return AttributeError(f"{missing}: {_INSTEAD[full_name]}" if full_name in _INSTEAD else missing)


class Refusing:
    """A class of asyncio's, of which some names are not there."""

    if not TYPE_CHECKING:  # who would take it for a promise of any name

        def __getattr__(self, name: str) -> Any:
            raise instead_of(name, type(self).__name__)


def refuse(function: str, instead: str, **parameters: object) -> None:
    """Raise TypeError if a parameter was given that trio has nothing for."""
    for name, value in parameters.items():
        if value:
            raise TypeError(f"{function}() takes no {name}= here: {instead}")


def refuse_others(function: str, instead: str, others: Mapping[str, object]) -> None:
    """The same for all other parameters, and for a name that asyncio does not know."""
    for name in others:
        if name not in OTHERS[function]:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    refuse(function, instead, **others)
