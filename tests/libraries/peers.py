"""What the tests share: where the servers are that the libraries talk to, and whether the loop runs on trio."""

import asyncio
import os
import socket
import sys
from contextlib import nullcontext
from urllib.parse import urlsplit

import pytest
import trio

POSTGRES = os.environ.get("POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")
REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/15")
RABBITMQ = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/")
MYSQL = os.environ.get("MYSQL_URL", "mysql://root@127.0.0.1:3306/")
MQTT = os.environ.get("MQTT_URL", "mqtt://127.0.0.1:1883")
NATS = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")

REDIRECTED = asyncio.tasks.__name__ == "compat.adapters.tasks"
"""Whether this process is run by `python -m compat`."""

PYTHON = {"asyncio": ["env", sys.executable], "trio": [sys.executable, "-m", "compat"]}
"""Starts a program of its own in either world; what another program starts (env) is on asyncio wherever this is run."""

HOST = "127.0.0.1"
NAME = f"aot{sys.version_info.minor}_{os.getpid()}"
"""A prefix for tables, queues and topics, so that two runs at a time do not meet."""


def require(url: str) -> None:
    """Skip the test, or the module that is being imported, if nobody listens there."""
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port), 2).close()
    except OSError as error:
        pytest.skip(f"no server at {address.hostname}:{address.port}: {error}", allow_module_level=True)


def on_trio() -> bool:
    """Tell whether the running loop is ours."""
    return asyncio.get_running_loop().__class__.__module__.startswith("compat.adapters")


def shielded() -> object:
    """For a clean-up that has to wait: on trio, the scope around it interrupts it no more."""
    return trio.CancelScope(shield=True) if on_trio() else nullcontext()
