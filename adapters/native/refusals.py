"""What asyncio has and native has not, each with trio's way to do it."""

__all__ = ["instead_of", "refuse"]

_LOOP = (
    "trio has no loop object: trio.lowlevel.current_trio_token().run_sync_soon() calls a function soon, "
    "trio.current_time() tells the time, trio.lowlevel.spawn_system_task() and trio.open_nursery() start tasks"
)
_FUTURE = "a future made by hand is a trio.Event beside a variable, or a trio.open_memory_channel(1)"
_TRANSPORT = "transports and protocols are trio.abc.Stream: send_all(), receive_some(), aclose()"
_POLICY = "trio has no event loop policies and no loops to choose from: trio.run() is all"
_ENSURE = "use create_task() for a coroutine, or a nursery: trio.open_nursery()"

_INSTEAD = {
    "AbstractEventLoop": _LOOP,
    "BaseEventLoop": _LOOP,
    "EventLoop": _LOOP,
    "SelectorEventLoop": _LOOP,
    "ProactorEventLoop": _LOOP,
    "get_event_loop": _LOOP,
    "get_running_loop": _LOOP,
    "new_event_loop": _LOOP,
    "set_event_loop": _LOOP,
    "Handle": _LOOP,
    "TimerHandle": "a timer is a task in a nursery: trio.sleep_until(), then the call",
    "AbstractEventLoopPolicy": _POLICY,
    "DefaultEventLoopPolicy": _POLICY,
    "get_event_loop_policy": _POLICY,
    "set_event_loop_policy": _POLICY,
    "get_child_watcher": "trio waits for its processes itself",
    "set_child_watcher": "trio waits for its processes itself",
    "Future": _FUTURE,
    "isfuture": _FUTURE,
    "wrap_future": "wait for a thread's result by trio.to_thread.run_sync()",
    "ensure_future": _ENSURE,
    "eager_task_factory": "a trio task never starts before its parent's next checkpoint",
    "create_eager_task_factory": "a trio task never starts before its parent's next checkpoint",
    "iscoroutine": "use inspect.iscoroutine()",
    "iscoroutinefunction": "use inspect.iscoroutinefunction()",
    "BaseTransport": _TRANSPORT,
    "ReadTransport": _TRANSPORT,
    "WriteTransport": _TRANSPORT,
    "Transport": _TRANSPORT,
    "DatagramTransport": "datagrams are sent and received by trio.socket.socket(type=trio.socket.SOCK_DGRAM)",
    "SubprocessTransport": "processes are trio.Process: trio.run_process(), trio.lowlevel.open_process()",
    "BaseProtocol": _TRANSPORT,
    "Protocol": _TRANSPORT,
    "BufferedProtocol": _TRANSPORT,
    "StreamReaderProtocol": _TRANSPORT,
    "DatagramProtocol": "datagrams are sent and received by trio.socket.socket(type=trio.socket.SOCK_DGRAM)",
    "SubprocessProtocol": "processes are trio.Process: trio.run_process(), trio.lowlevel.open_process()",
    "SendfileNotAvailableError": "trio sends a file by reading it: trio.open_file(), stream.send_all()",
    "Runner.get_loop": _LOOP,
    "Task.get_loop": _LOOP,
    "Task.uncancel": "a cancelled scope stays cancelled: put a trio.CancelScope around what is to be cancelled",
    "Task.get_context": "trio.lowlevel.Task.context, of trio.lowlevel.current_task()",
    "Task.get_stack": "trio.lowlevel.Task.iter_await_frames()",
    "Task.print_stack": "trio.lowlevel.Task.iter_await_frames()",
    "Task.set_result": _FUTURE,
    "Task.set_exception": _FUTURE,
    "Server.get_loop": _LOOP,
    "StreamReader.feed_data": "put a stream of your own behind it, such as trio.testing.MemoryReceiveStream",
    "StreamReader.feed_eof": "put a stream of your own behind it, such as trio.testing.MemoryReceiveStream",
    "StreamReader.set_exception": "put a stream of your own behind it, such as trio.testing.MemoryReceiveStream",
    "StreamReader.exception": "what breaks a trio stream is raised where it is read",
    "StreamReader.set_transport": _TRANSPORT,
    "StreamWriter.transport": _TRANSPORT,
}


def instead_of(name: str, owner: str = "asyncio") -> AttributeError:
    """The error for a name that is not there: it says what trio has, if asyncio has it."""
    full_name = name if owner == "asyncio" else f"{owner}.{name}"
    missing = f"compat.native has no {full_name}"
    return AttributeError(f"{missing}: {_INSTEAD[full_name]}" if full_name in _INSTEAD else missing)


def refuse(function: str, instead: str, **parameters: object) -> None:
    """Raise TypeError if a parameter was given that trio has nothing for."""
    for name, value in parameters.items():
        if value:
            raise TypeError(f"{function}() takes no {name}= here: {instead}")
