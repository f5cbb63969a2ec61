"""TLS by hand on a reader and a writer, so that a test can say what is sent in one piece."""

import ssl


class TLSByHand:
    """A TLS client. Each call returns what ssl.SSLObject returns, when that needs no more from the peer."""

    def __init__(self, reader, writer, context, server_hostname):
        self._reader = reader
        self._writer = writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)

    async def do_handshake(self, *, after=b""):
        """The first piece that is sent begins with `after`, which is no part of TLS."""
        await self._done(self._object.do_handshake, before=after)

    async def write(self, data):
        return await self._done(self._object.write, data)

    async def read(self, size):
        return await self._done(self._object.read, size)

    async def _done(self, method, *args, before=b""):
        while True:
            try:
                result, enough = method(*args), True
            except ssl.SSLWantReadError:
                enough = False
            if piece := before + self._outgoing.read():
                self._writer.write(piece)
            if enough:
                return result
            before = b""
            if data := await self._reader.read(65536):
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
