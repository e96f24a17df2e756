"""`monitor` and `python -m monitor`: the last line between an error and the user."""

from __future__ import annotations

import errno
import gc
import os
import resource
import sys
import traceback

__all__ = ["main"]

EX_SOFTWARE = 70  # a bug of ours; distinct from the exit codes that scripts depend on
EX_IOERR = 74  # what was to be printed could not be
EX_CONFIG = 78
EX_SIGINT = 130  # as shells report a command that Ctrl-C ended
EX_SIGPIPE = 141  # as shells report a command whose reader has gone


def main() -> None:
    """Run the command line; never returns."""
    # Next to nothing made while starting is garbage: looking for it takes a tenth of the time. See `started`.
    gc.set_threshold(500_000, 20, 100)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the values at hand
    if os.sep in sys.argv[0]:
        sys.argv[0] = os.path.abspath(sys.argv[0])  # alerts name it, and a command may go to its configuration's folder
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # none is ours; looking for some reads every package
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed, as by `>&-`
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as we live
    try:
        from monitor.cli import app
    except KeyboardInterrupt:  # Ctrl-C at once; from here on typer takes it
        sys.exit(EX_SIGINT)

    try:
        app(prog_name="monitor")
    except SystemExit as end:
        # The reader has gone (`monitor … | head`): click ends with 1 then, which means findings here.
        if isinstance(end.__context__, BrokenPipeError):
            sys.exit(EX_SIGPIPE)
        _leave(end.code)
        raise
    except Exception as error:  # noqa: BLE001 - the last boundary; decides what may be shown
        code = _report(error)
        _leave(code)
        sys.exit(code)


def _leave(code: object) -> None:
    """End the process without taking apart what it holds, which would last a tenth of a second."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # Python's own end reports it
    if isinstance(code, int):
        os._exit(code)


def _report(error: Exception) -> int:
    """Says what failed; returns the exit code."""
    try:
        return _described(error)
    except Exception:  # noqa: BLE001 - no file can be opened, say: Python itself would print the message
        sys.stderr.write(f"{type(error).__name__} (message withheld)\n")
        sys.stderr.write("No more could be said: perhaps no file can be opened (ulimit -n).\n")
        return EX_SOFTWARE


def _described(error: Exception) -> int:
    from monitor.config.locate import ConfigError

    if isinstance(error, ConfigError):
        from monitor.common.text import printable

        sys.stderr.writelines(f"{printable(line)}\n" for line in str(error).split("\n"))
        return EX_CONFIG
    store = sys.modules.get("monitor.store")  # imported if it has failed; slow to import otherwise
    if store is not None and isinstance(error, store.StoreError):
        sys.stderr.write(f"{error}\n")
        return 1
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        sys.stderr.write(f"{os.strerror(error.errno)}: the output is not complete\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails again when it flushes at exit
        return EX_IOERR
    if isinstance(error, PermissionError) and isinstance(error.filename, str):
        from monitor.common.credential import AS_ROOT
        from monitor.common.text import printable, veiled

        sys.stderr.write(f"{printable(veiled(error.filename))}: this user may not go there; {AS_ROOT}\n")
        return 1
    # A message may quote what was being worked on, so of an unexpected error only the place and the type are shown.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/typer/" not in frame.filename]
    sys.stderr.writelines(traceback.format_list(frames))
    sys.stderr.write(f"{type(error).__name__} (message withheld)\n")
    sys.stderr.write("This is a bug in the exposure monitor; please report the lines above.\n")
    return EX_SOFTWARE


if __name__ == "__main__":
    main()
