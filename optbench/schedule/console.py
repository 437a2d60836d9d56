"""The console: it prints what it can, and never costs a result what it cannot.

An encoding may lack a character, a reader may go away, a disk that the output goes to may
be full: the work goes on.
"""

import io
import os
import sys
import time
from typing import Any, TextIO


def soften() -> None:
    """Make this process's standard streams lenient, whatever they are.

    A character that an encoding lacks is printed as "?"; a stream that was closed leads to
    nowhere.
    """
    # in this order: the next file that is opened takes the number of the first closed one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = open(os.devnull, mode, encoding="utf-8", errors="replace")  # noqa: SIM115
            setattr(sys, name, nowhere)
        elif mode == "w":
            setattr(sys, name, _softened(stream))


def lost() -> OSError | None:
    """Give the error for which not all has been printed; None where all has been."""
    sys.stdout.flush()
    return getattr(_raw(sys.stdout), "lost", None)


def _softened(stream: TextIO) -> TextIO:
    raw = _raw(stream)
    if isinstance(raw, _Lenient) or not isinstance(raw, io.RawIOBase):
        return stream  # softened already, or a stand-in that no file is below
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lenient(stream)),
        encoding=stream.encoding,
        errors="replace",
        # `python -u` writes through, and has no buffer
        line_buffering=bool(stream.line_buffering) or stream.buffer is raw,
    )


def _raw(stream: TextIO) -> Any:
    """Find what is below a stream's buffer, which `python -u` leaves out."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


class _Lenient(io.RawIOBase):
    """A stream that takes whatever it is given, though what is below does not.

    `lost` is the first error but that of a reader who went away, which is no error.
    """

    def __init__(self, stream: TextIO) -> None:
        # the stream is kept: with it, what is below would be closed
        self._stream, self._below = stream, _raw(stream)
        self.lost: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            while (written := self._below.write(content)) is None:
                time.sleep(0.01)  # a pipe that does not block, and is full
        except BrokenPipeError:
            return len(content)
        except OSError as error:
            self.lost = self.lost or error
            return len(content)
        return written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._below.fileno()

    def isatty(self) -> bool:
        return self._below.isatty()
