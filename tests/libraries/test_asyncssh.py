"""asyncssh, client and server: https://asyncssh.readthedocs.io/"""

import asyncio
from contextlib import asynccontextmanager

import pytest
import trio

from .peers import HOST, shielded

asyncssh = pytest.importorskip("asyncssh", reason="the extra `libraries` is not installed")

KEY = asyncssh.generate_private_key("ssh-ed25519")


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return username != "guest"

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return (username, password) == ("user", "secret")

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        return dest_host == HOST


async def handle(process):
    """What a client's command does."""
    match (process.command or "").split():
        case ["upper"]:
            async for line in process.stdin:
                process.stdout.write(line.upper())
            process.exit(0)
        case ["fail", status]:
            process.stderr.write("failed\n")
            process.exit(int(status))
        case ["sleep"]:
            await process.stdin.read()
            process.exit(9)
        case ["run", *command]:  # a process of the system, behind SSH
            running = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await running.communicate((await process.stdin.read()).encode())
            process.stdout.write(out.decode())
            process.exit(running.returncode)


@asynccontextmanager
async def serving(folder):
    server = await asyncssh.listen(
        HOST,
        0,
        server_factory=Server,
        server_host_keys=[KEY],
        process_factory=handle,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder)),
        allow_scp=True,
    )
    try:
        yield server.get_port()
    finally:
        server.close()
        with shielded():
            await server.wait_closed()


def connect(port, username="user", password="secret"):
    known = asyncssh.import_known_hosts(f"[{HOST}]:{port} {KEY.export_public_key().decode()}")
    return asyncssh.connect(
        HOST, port, username=username, password=password, known_hosts=known, client_keys=None, config=None
    )


def test_commands(run, tmp_path):
    async def main():
        async with serving(tmp_path) as port:
            async with connect(port) as connection:
                result = await connection.run("upper", input="one\ntwo\n", check=True)
                assert (result.stdout, result.exit_status) == ("ONE\nTWO\n", 0)
                with pytest.raises(asyncssh.ProcessError) as failed:
                    await connection.run("fail 3", check=True)
                assert (failed.value.exit_status, failed.value.stderr) == (3, "failed\n")

                async with connection.create_process("upper") as process:
                    for n in range(10):
                        process.stdin.write(f"line {n}\n")
                        assert await process.stdout.readline() == f"LINE {n}\n"
                    process.stdin.write_eof()
                    assert (await process.wait()).exit_status == 0
                results = await asyncio.gather(*[connection.run("upper", input=f"{n}x") for n in range(8)])
                assert [each.stdout for each in results] == [f"{n}X" for n in range(8)]
            with pytest.raises(asyncssh.PermissionDenied):
                async with connect(port, password="wrong"):
                    pass

    run(main)


def test_a_process_of_the_system(run, tmp_path):
    async def main():
        async with serving(tmp_path) as port, connect(port) as connection:
            result = await connection.run("run cat", input="to and fro\n" * 1000)
            return result.stdout == "to and fro\n" * 1000, result.exit_status

    assert run(main) == (True, 0)


def test_sftp(run, tmp_path):
    (tmp_path / "served").mkdir()

    async def main():
        async with serving(tmp_path / "served") as port, connect(port) as connection:
            async with connection.start_sftp_client() as sftp:
                (tmp_path / "file").write_bytes(b"0123456789" * 100_000)
                await sftp.put(tmp_path / "file", "there")
                await sftp.mkdir("folder")
                await sftp.rename("there", "folder/there")
                await sftp.get("folder/there", tmp_path / "back")
                assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()
                async with sftp.open("folder/there", "r+") as file:
                    await file.seek(5)
                    await file.write("xyz")
                    await file.seek(0)
                    assert await file.read(10) == "01234xyz89"
                with pytest.raises(asyncssh.SFTPNoSuchFile):
                    await sftp.stat("nothing")
                names = [entry.filename async for entry in sftp.scandir("folder")]
            await asyncssh.scp((connection, "folder/there"), tmp_path / "copied")
            assert (tmp_path / "copied").stat().st_size == 1_000_000
        return sorted(names)

    assert run(main) == [".", "..", "there"]


def test_a_forwarded_port(run, tmp_path):
    async def main():
        async def upper(reader, writer):
            writer.write((await reader.read()).upper())
            writer.close()

        target = await asyncio.start_server(upper, HOST, 0)
        async with serving(tmp_path) as port, connect(port) as connection:
            forwarder = await connection.forward_local_port(HOST, 0, HOST, target.sockets[0].getsockname()[1])
            reader, writer = await asyncio.open_connection(HOST, forwarder.get_port())
            writer.write(b"through ssh" * 10_000)
            writer.write_eof()
            got = await reader.read()
            writer.close()
            await writer.wait_closed()
            forwarder.close()
            await forwarder.wait_closed()
        target.close()
        await target.wait_closed()
        return got

    assert run(main) == b"THROUGH SSH" * 10_000


def test_trio_timeouts_in_the_middle_of_a_command(run_mixed, tmp_path):
    async def main():
        async with serving(tmp_path) as port, connect(port) as connection:
            ended = []

            async def impatient(patience):
                with trio.move_on_after(patience) as scope:
                    async with connection.create_process("sleep") as process:
                        await process.wait()
                ended.append(scope.cancelled_caught)

            async with trio.open_nursery() as nursery:
                for n in range(6):
                    nursery.start_soon(impatient, 0.02 * (n + 1))
            assert ended == [True] * 6
            assert (await connection.run("upper", input="x")).stdout == "X"
            async with connection.create_process("upper") as process:
                with pytest.raises(trio.TooSlowError):
                    with trio.fail_after(0.02):
                        await process.stdout.read()
                process.stdin.write("still there\n")
                assert await process.stdout.readline() == "STILL THERE\n"
                process.stdin.write_eof()
            with trio.move_on_after(0.001) as scope:
                async with connect(port) as another:
                    await another.run("sleep")
            assert scope.cancelled_caught

    run_mixed(main)
