"""A server that says everything again, in capitals, over TLS; and its client.

Plain asyncio: TLS by `ssl=`, and with --upgrade a connection that begins in plain text and goes on with TLS, as mail
servers do it.

    python examples/tls_echo.py serve CERTIFICATE KEY --port 8443           # on asyncio
    python -m compat examples/tls_echo.py serve CERTIFICATE KEY             # the same program on trio
    echo hello | python examples/tls_echo.py say --trust CA --port 8443

CERTIFICATE, KEY and CA are files in PEM form.
"""

import argparse
import asyncio
import ssl
import sys
from functools import partial


async def echo(context: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client; with a context, it says first when it wants TLS."""
    try:
        if context is not None:
            await reader.readuntil(b"STARTTLS\n")
            writer.write(b"go ahead\n")
            await writer.start_tls(context)
        async for line in reader:
            writer.write(line.upper())
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError) as error:
        print("a client failed:", error, file=sys.stderr)
    finally:
        writer.close()


async def serve(options: argparse.Namespace) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate, options.key)
    handler = partial(echo, context if options.upgrade else None)
    tls = None if options.upgrade else context
    server = await asyncio.start_server(handler, options.host, options.port, ssl=tls)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


async def say(options: argparse.Namespace) -> None:
    context = ssl.create_default_context(cafile=options.trust)
    tls = None if options.upgrade else context
    reader, writer = await asyncio.open_connection(options.host, options.port, ssl=tls)
    if options.upgrade:
        writer.write(b"STARTTLS\n")
        print(await reader.readline())
        await writer.start_tls(context, server_hostname=options.host)
    print(writer.get_extra_info("ssl_object").version())
    for line in sys.stdin:
        writer.write(line.encode())
        print((await reader.readline()).decode(), end="")
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="an echo over TLS")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (commands.add_parser("serve"), commands.add_parser("say")):
        command.add_argument("--host", default="localhost")
        command.add_argument("--port", type=int, default=8443)
        command.add_argument("--upgrade", action="store_true", help="begin in plain text")
    commands.choices["serve"].add_argument("certificate")
    commands.choices["serve"].add_argument("key")
    commands.choices["say"].add_argument("--trust", help="a certificate authority (those of the system)")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options) if options.command == "serve" else say(options))
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        pass
