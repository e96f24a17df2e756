"""The server off which the tests fork commands."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path

from tests.fakes.forks import Forks


def test_a_client_that_is_killed_takes_no_other_with_it(forks: Forks) -> None:
    environment = {**forks.environment(), "LC_TIME": "C"}  # a server of its own
    name = forks.name(environment)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as unread:
        unread.connect(f"\0{name}")
        assert select.select([unread], [], [], 60)[0]  # it is heard, and goes without reading that
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client, open(os.devnull, "r+b") as nothing:
        client.connect(f"\0{name}")
        assert client.recv(1)
        answer, theirs = socket.socketpair()
        answer.close()
        with theirs:
            stdio = [nothing.fileno()] * 3
            socket.send_fds(client, [b'[["-c", "pass"], "/", {}]'], [*stdio, theirs.fileno()])
    done = forks.run("-c", "print(1)", cwd=Path(__file__).parent, env=environment)
    assert (done.returncode, done.stdout) == (0, "1\n")
