"""`python -I -S fork_client.py NAME [ARGUMENT ...]`: the server of that name forks a command off; ends as that does."""

import json
import os
import signal
import socket
import sys


def main(name: str, *arguments: str) -> int:
    """The exit code; of a command that a signal ended, 128 and its number, as of a shell."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as requests:
        requests.connect(f"\0{name}")
        requests.recv(1)
        answer, theirs = socket.socketpair()
        request = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()
        socket.send_fds(requests, [request], [0, 1, 2, theirs.fileno()])
        theirs.close()
        with answer, answer.makefile() as said:
            pid = int(said.readline())
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda number, _: os.kill(pid, number))
            os.close(0)  # only the command is to hold them
            os.close(1)
            code = int(said.readline())
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
