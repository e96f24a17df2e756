"""What is logged of an error that nobody has foreseen."""

from __future__ import annotations

from traceback import walk_tb

__all__ = ["failure"]

_FRAMES = 4  # innermost ones


def failure(error: BaseException) -> dict[str, str]:
    """`error_type`, and `at`: module and line from the outermost of some frames to where it was raised. Its text and
    the values of variables may hold what was being worked on, and are left out."""
    frames = [f"{frame.f_globals.get('__name__', '?')}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return {"error_type": type(error).__name__, "at": " > ".join(frames[-_FRAMES:])}
