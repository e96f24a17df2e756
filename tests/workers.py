"""`python -m tests.workers COUNT [OPTION ...]`: pytest with these options and as many workers, forked off one process.

It has imported the tests and loaded the compiled rules by then: half a minute of CPU for each worker otherwise.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests import folders
from tests.fakes import fork_client, forks


def main(count: str, *options: str) -> int:
    # As `make run` does, beside what takes one processor. Where it cannot, `warm` compiles.
    with subprocess.Popen([sys.executable, "-m", "detectors.compile.prebuilt"]):
        with contextlib.redirect_stdout(said := io.StringIO()):
            code = pytest.main(["--collect-only", *options])
    if code:
        print(said.getvalue())
        return code
    from tests.detectors import texts  # after pytest, which rewrites the assertions of what it imports

    texts.warm()
    gc.collect()
    gc.freeze()  # a page that is only read stays common to all
    assert threading.active_count() == 1, "a fork would have one of them only"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0{(name := f'monitor-tests-{os.getpid()}')}")
        listener.listen()
        if (server := os.fork()) == 0:
            forks.serve(listener)  # returns in a worker, whose program is its last argument
            exec(sys.argv[-1], {"__name__": "__main__"})
            return 0
    # For pytest-xdist this is the Python of the workers.
    python = shlex.join([sys.executable, "-I", "-S", fork_client.__file__, name])
    command = [sys.executable, "-m", "pytest", "--tx", f"{count}*popen//python={python}", *options]
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        os.kill(server, signal.SIGTERM)  # it ends with its last worker, of which there may have been none


if __name__ == "__main__":
    with folders.session():
        ended = main(*sys.argv[1:])
    sys.exit(ended)
