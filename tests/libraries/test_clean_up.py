"""What asyncio code does when it is given up: after a trio scope, libraries are as they are after asyncio.timeout().

Each case runs with either, and leaves the same behind, here and on the server. It calls `soon()` in the middle of what
it does, and is timed out while it waits.
"""

import asyncio
import contextlib
import threading
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

import pytest

from worlds import PATIENCE

from .peers import HOST, NAME, POSTGRES, REDIS, require

REASON = "the extra `libraries` is not installed"
APPLICATION = f"{NAME}_clean_up"


async def until(condition):
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


# --- async with, of each kind ----------------------------------------------------------------------------------------


class Resource:
    """Its __aexit__ waits more than once."""

    def __init__(self, log):
        self.log = log

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        for n in range(3):
            await asyncio.sleep(0.001)
            self.log.append(n)


@asynccontextmanager
async def by_finally(log):
    try:
        yield
    finally:
        async with Resource(log):
            await asyncio.sleep(0)


@asynccontextmanager
async def by_stack(log):
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.sleep, 0.001)
        await stack.enter_async_context(Resource(log))
        stack.push_async_callback(asyncio.wait_for, asyncio.sleep(0.001), 10)
        yield


@asynccontextmanager
async def by_generator(log):
    async def numbers():
        async with Resource(log):
            while True:
                yield
                await asyncio.sleep(0)

    async with aclosing(numbers()) as generator:
        await anext(generator)
        yield


@asynccontextmanager
async def by_task_group(log):
    """The body is given up; the clean-up of the child is waited for."""

    async def child():
        async with Resource(log):
            await asyncio.sleep(PATIENCE)

    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        await asyncio.sleep(0)
        yield


@asynccontextmanager
async def by_gather(log):
    """The clean-up starts tasks."""
    try:
        yield
    finally:
        await asyncio.gather(asyncio.sleep(0.001), asyncio.create_task(asyncio.sleep(0.001)))
        async with asyncio.TaskGroup() as group:
            group.create_task(Resource(log).__aexit__())


@asynccontextmanager
async def by_timeout_of_its_own(log):
    """A limit for the body, another for the clean-up."""
    async with asyncio.timeout(PATIENCE):
        try:
            yield
        finally:
            async with asyncio.timeout(PATIENCE), Resource(log):
                await asyncio.to_thread(log.append, "thread")
                log.remove("thread")


@asynccontextmanager
async def by_condition(log):
    condition = asyncio.Condition()
    async with condition:
        try:
            yield
        finally:
            assert condition.locked()
            with suppress(TimeoutError):
                await asyncio.wait_for(condition.wait(), 0.001)
            assert condition.locked()
            async with Resource(log):
                pass


@asynccontextmanager
async def by_process(log):
    """The program ends when its input does."""
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    try:
        yield
    finally:
        out, _ = await process.communicate(b"0 1 2")
        assert process.returncode == 0
        log.extend(int(word) for word in out.split())


KINDS = [
    Resource,
    by_finally,
    by_stack,
    by_generator,
    by_task_group,
    by_gather,
    by_timeout_of_its_own,
    by_condition,
    by_process,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_async_with(ended, kind):
    async def main(give_up):
        log = []

        async def work(soon):
            async with kind(log):
                soon()
                await asyncio.sleep(PATIENCE)

        await give_up(work)
        return log

    assert ended(main) == [0, 1, 2]


# --- databases -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def observer():
    """Gives an async function: the server's connections of these tests, by process, and what each is doing."""
    asyncpg = pytest.importorskip("asyncpg", reason=REASON)
    connection = await asyncpg.connect(POSTGRES)

    async def connections():
        query = "SELECT pid, state FROM pg_stat_activity WHERE application_name = $1"
        return dict(await connection.fetch(query, APPLICATION))

    try:
        yield connections
    finally:
        await connection.close()


@asynccontextmanager
async def table(execute):
    name = f"{NAME}_clean_up"
    await execute(f"CREATE TABLE {name}(n int)")
    try:
        yield name
    finally:
        await execute(f"DROP TABLE {name}")


WAITS = ["in the query", "elsewhere"]


@pytest.mark.parametrize("where", WAITS)
def test_asyncpg_transactions(ended, where):
    """They are rolled back, and the pool has the connections that it had."""
    asyncpg = pytest.importorskip("asyncpg", reason=REASON)
    require(POSTGRES)

    async def main(give_up):
        settings = {"application_name": APPLICATION}
        pool = asyncpg.create_pool(POSTGRES, min_size=2, max_size=2, server_settings=settings)
        async with observer() as connections, pool, table(pool.execute) as name:

            async def work(soon):
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute(f"INSERT INTO {name} VALUES (1)")
                    async with connection.transaction():  # a savepoint
                        await connection.execute(f"INSERT INTO {name} VALUES (2)")
                        soon()
                        await (connection.execute("SELECT pg_sleep(100)") if where in WAITS[:1] else asyncio.sleep(100))

            before = await connections()
            for _ in range(3):
                await asyncio.gather(give_up(work), give_up(work))
                assert pool.get_idle_size() == 2
                assert await connections() == before
            assert set(before.values()) == {"idle"}
            return await pool.fetch(f"SELECT * FROM {name}")

    assert ended(main) == []


@pytest.mark.parametrize("where", WAITS)
@pytest.mark.parametrize("library", ["asyncpg", "psycopg"])
def test_a_connection_of_its_own(ended, library, where):
    """No pool has a look at it: if its transaction is not rolled back there and then, it stays in it."""
    driver = pytest.importorskip(library, reason=REASON)
    require(POSTGRES)
    with_name = {"server_settings": {"application_name": APPLICATION}}

    async def main(give_up):
        if library == "asyncpg":
            connection = await driver.connect(POSTGRES, **with_name)
        else:
            connection = await driver.AsyncConnection.connect(POSTGRES, application_name=APPLICATION, autocommit=True)
        async with (
            observer() as connections,
            contextlib.aclosing(Closing(connection)),
            table(connection.execute) as name,
        ):

            async def work(soon):
                async with connection.transaction():
                    await connection.execute(f"INSERT INTO {name} VALUES (1)")
                    async with connection.transaction():  # a savepoint
                        soon()
                        await (connection.execute("SELECT pg_sleep(100)") if where in WAITS[:1] else asyncio.sleep(100))

            for _ in range(3):
                await give_up(work)
                assert [*(await connections()).values()] == ["idle"]

    ended(main)


class Closing:
    """Its aclose() is the connection's close()."""

    def __init__(self, connection):
        self.aclose = connection.close


@pytest.mark.parametrize("where", WAITS)
@pytest.mark.parametrize("kind", ["begin", "connect", "session", "stream"])
def test_sqlalchemy(ended, kind, where):
    """No connection is leaked or left in a transaction: https://github.com/sqlalchemy/sqlalchemy/issues/8145."""
    pytest.importorskip("sqlalchemy", reason=REASON)
    pytest.importorskip("greenlet", reason=REASON)
    pytest.importorskip("asyncpg", reason=REASON)
    require(POSTGRES)
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    async def main(give_up):
        engine = create_async_engine(
            POSTGRES.replace("postgresql://", "postgresql+asyncpg://"),
            pool_size=2,
            max_overflow=0,
            connect_args={"server_settings": {"application_name": APPLICATION}},
        )

        async def execute(statement):
            async with engine.begin() as connection:
                await connection.execute(text(statement))

        async with observer() as connections, table(execute) as name:

            @asynccontextmanager
            async def opened():
                if kind == "begin":
                    async with engine.begin() as connection:
                        yield connection
                elif kind == "session":
                    async with AsyncSession(engine) as session, session.begin():
                        yield session
                else:
                    async with engine.connect() as connection:
                        yield connection

            async def work(soon):
                async with opened() as connection:
                    await connection.execute(text(f"INSERT INTO {name} VALUES (1)"))
                    if kind == "stream":
                        rows = await connection.stream(text("SELECT generate_series(1, 100000)"))
                        await rows.fetchone()
                    soon()
                    if where == "in the query" and kind != "stream":
                        await connection.execute(text("SELECT pg_sleep(100)"))
                    await asyncio.sleep(100)

            for _ in range(3):
                await asyncio.gather(*[give_up(work) for _ in range(4)])
                assert engine.pool.checkedout() == 0
                found = await connections()
                assert len(found) <= 2
                assert {*found.values()} <= {"idle"}
            async with engine.connect() as one, engine.connect() as other:
                rows = [(await each.execute(text(f"SELECT count(*) FROM {name}"))).scalar() for each in (one, other)]
        await engine.dispose()
        async with observer() as connections:

            async def all_closed():
                return not await connections()

            await until(all_closed)
        return rows

    assert ended(main) == [0, 0]


def test_psycopg_pool(ended):
    pytest.importorskip("psycopg_pool", reason=REASON)
    require(POSTGRES)
    from psycopg_pool import AsyncConnectionPool

    async def main(give_up):
        options = {"kwargs": {"application_name": APPLICATION}, "min_size": 2, "max_size": 2, "open": False}
        async with observer() as connections, AsyncConnectionPool(POSTGRES, **options) as pool:
            await pool.wait()

            async def work(soon):
                async with pool.connection() as connection, connection.transaction():
                    await connection.execute("CREATE TEMP TABLE t(n int)")
                    soon()
                    await asyncio.sleep(100)

            for _ in range(3):
                await asyncio.gather(*[give_up(work) for _ in range(4)])

                async def all_back():
                    return [*(await connections()).values()] == ["idle", "idle"]

                await until(all_back)

    ended(main)


@pytest.mark.parametrize("where", WAITS)
def test_redis_pipelines(ended, where):
    """The connection goes back to its pool, or is closed; no answer is left in it, and it watches nothing."""
    redis = pytest.importorskip("redis.asyncio", reason=REASON)
    require(REDIS)

    async def main(give_up):
        key = f"{NAME}:clean_up"
        pool = redis.BlockingConnectionPool.from_url(REDIS, max_connections=2, client_name=APPLICATION)
        async with redis.from_url(REDIS) as other, redis.Redis(connection_pool=pool) as client:
            # Connected: a cancellation while it connects, the library takes for its own timeout.
            await asyncio.gather(client.set(key, 0), client.ping())

            async def work(soon):
                async with client.pipeline(transaction=True) as pipe:
                    await pipe.watch(key)
                    await pipe.get(key)
                    soon()
                    if where == "in the query":
                        await pipe.immediate_execute_command("BLPOP", f"{NAME}:empty", 100)
                    await asyncio.sleep(100)

            for n in range(1, 4):
                await give_up(work)
                assert not pool._in_use_connections
                await other.set(key, n)  # a connection that still watches it refuses to execute
                assert await client.pipeline(transaction=True).get(key).execute() == [b"%d" % n]
                mine = [each for each in await other.client_list() if each["name"] == APPLICATION]
                assert 1 <= len(mine) <= 2
            await client.delete(key)
        await pool.aclose()

    ended(main)


# --- networks --------------------------------------------------------------------------------------------------------


def test_websockets_closing_handshake(ended):
    """The other side sees an orderly end."""
    pytest.importorskip("websockets", reason=REASON)
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def main(give_up):
        seen = asyncio.Queue()

        async def handler(websocket):
            await websocket.wait_closed()
            seen.put_nowait(websocket.close_code)

        async with serve(handler, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]

            async def work(soon):
                async with connect(f"ws://{HOST}:{port}") as websocket:
                    soon()
                    await websocket.recv()

            await give_up(work)
            return await seen.get()

    assert ended(main) == 1011  # what the library says where its `async with` is left by an error


def test_a_websockets_server_is_closed(ended):
    """Its clients are told that it goes away, and its handlers end."""
    pytest.importorskip("websockets", reason=REASON)
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def main(give_up):
        clients = []

        async def handler(websocket):
            await websocket.wait_closed()

        async def work(soon):
            async with serve(handler, HOST, 0) as server:
                port = server.sockets[0].getsockname()[1]
                clients.extend([await connect(f"ws://{HOST}:{port}") for _ in range(3)])
                soon()
                await server.serve_forever()

        await give_up(work)
        for client in clients:
            await client.wait_closed()
        return [client.close_code for client in clients]

    assert ended(main) == [1001] * 3


def test_aioquic(ended, authority):
    """The connection is closed in its own way, and the socket with it."""
    pytest.importorskip("aioquic", reason=REASON)
    from aioquic.asyncio import QuicConnectionProtocol, connect, serve
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import ConnectionTerminated

    leaf = authority.issue_cert("localhost")

    async def main(give_up):
        seen = asyncio.Queue()

        class Protocol(QuicConnectionProtocol):
            def quic_event_received(self, event):
                super().quic_event_received(event)
                if isinstance(event, ConnectionTerminated):
                    seen.put_nowait(event.error_code)

        of_server = QuicConfiguration(is_client=False, alpn_protocols=["x"])
        with leaf.cert_chain_pems[0].tempfile() as certificate, leaf.private_key_pem.tempfile() as key:
            of_server.load_cert_chain(certificate, key)
        server = await serve(HOST, 0, configuration=of_server, create_protocol=Protocol)
        port = server._transport.get_extra_info("sockname")[1]
        of_client = QuicConfiguration(alpn_protocols=["x"], server_name="localhost")
        of_client.load_verify_locations(cadata=authority.cert_pem.bytes())

        async def work(soon):
            async with connect(HOST, port, configuration=of_client) as client:
                await client.ping()
                soon()
                await asyncio.sleep(PATIENCE)

        await give_up(work)
        code = await seen.get()
        server.close()
        return code

    assert ended(main) == 0


def test_hypercorn(ended):
    """It stops to listen, and has the application shut down."""
    pytest.importorskip("hypercorn", reason=REASON)
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    async def main(give_up):
        log = []

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                while (event := (await receive())["type"].rpartition(".")[2]) in ("startup", "shutdown"):
                    log.append(event)
                    await send({"type": f"lifespan.{event}.complete"})
                    if event == "shutdown":
                        return
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

        config = Config()
        config.graceful_timeout = 1
        config.errorlog = None
        with contextlib.closing(listener()) as socket:
            port = socket.getsockname()[1]
            config.bind = [f"fd://{socket.detach()}"]

        async def work(soon):
            visitors.append(asyncio.create_task(visit(soon)))
            await serve(app, config, shutdown_trigger=asyncio.Event().wait)

        async def visit(soon):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            soon()
            await reader.read()  # until it is closed
            writer.close()
            await writer.wait_closed()

        visitors = []
        await give_up(work)
        await asyncio.gather(*visitors)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)
        return log

    assert ended(main) == ["startup", "shutdown"]


def listener():
    import socket

    return socket.create_server((HOST, 0))


# --- threads ---------------------------------------------------------------------------------------------------------


def test_asgiref(ended):
    """asgiref answers a cancellation by that of another future; the scope takes it, and the thread goes on to work."""
    pytest.importorskip("asgiref", reason=REASON)
    from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async

    async def main(give_up):
        go_on, done = threading.Event(), []

        def block():
            go_on.wait(PATIENCE)
            done.append(threading.get_ident())

        async def work(soon):
            soon()
            await sync_to_async(block)()

        async def there_and_back(soon):
            await sync_to_async(async_to_sync(wait))(soon)

        async def wait(soon):
            soon()
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                await asyncio.sleep(0.001)
                done.append("cleaned up")

        async with ThreadSensitiveContext():
            await give_up(work)
            go_on.set()
            assert await sync_to_async(threading.get_ident)() == done.pop()
            await give_up(there_and_back)
            assert done == ["cleaned up"]

    ended(main)


def test_django(ended, tmp_path):
    """Its ORM and its requests, which are synchronous inside: the connection works afterwards, a view is cleaned up."""
    django = pytest.importorskip("django", reason=REASON)
    from asgiref.sync import ThreadSensitiveContext, sync_to_async
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db")}},
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["*"],
        )
        django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import AsyncClient

    def set_up():
        connection.settings_dict["NAME"] = str(tmp_path / "db")
        call_command("migrate", verbosity=0)

    async def main(give_up):
        async with ThreadSensitiveContext():
            await sync_to_async(set_up)()

            async def work(soon):
                soon()
                for n in range(1_000_000):
                    await User.objects.acreate(username=f"{n}")

            async def request(soon):
                views.append(soon)
                await AsyncClient().get("/")

            await give_up(work)
            count = await User.objects.acount()
            assert len([user async for user in User.objects.all()]) == count > 0
            await give_up(request)
            await sync_to_async(lambda: connection.close())()  # the thread's

    views.clear()
    ended(main)
    assert views == ["cleaned up"]


views = []


async def view(request):
    """Of the application that is tested with Django."""
    from django.http import HttpResponse

    views.pop()()
    try:
        await asyncio.sleep(PATIENCE)
    finally:
        await asyncio.sleep(0.001)
        views.append("cleaned up")
    return HttpResponse()


try:
    from django.urls import path
except ImportError:
    pass
else:
    urlpatterns = [path("", view)]
