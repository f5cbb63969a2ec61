"""For type checkers. At run time `compat.native.streams` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

Server = _native.streams.Server
StreamReader = _native.streams.StreamReader
StreamWriter = _native.streams.StreamWriter
open_connection = _native.streams.open_connection
open_unix_connection = _native.streams.open_unix_connection
start_server = _native.streams.start_server
start_unix_server = _native.streams.start_unix_server
