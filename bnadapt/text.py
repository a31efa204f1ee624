"""Show text from files and people safely: it cannot control the terminal or hide what stands beside it."""

import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterable
from typing import TextIO

ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, such as ESC and CR, but not tab and line feed
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # unseen
    "\u2028\u2029\ud800-\udfff]"  # other ends of lines, and bytes of names that are not UTF-8
)


def visible(text: str) -> str:
    r"""Text with every invisible character written as an escape; line breaks stay.

    Examples:
        >>> print(visible("a\x1b[31m\u202eb"))
        a\x1b[31m\u202eb
    """
    return ACTING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def in_a_line(text: str) -> str:
    r"""The same in a single line, with `\n` for line breaks."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def capitalised(text: str) -> str:
    """The text with its first letter in upper case; the others stay."""
    return text[:1].upper() + text[1:]


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """A number of things, such as `1 tile` or `3 tiles`."""
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"


def shell_line(tokens: Iterable[str]) -> str:
    r"""A command line that a shell parses into these tokens; invisible characters are written as `$'\x1b'`.

    Examples:
        >>> print(shell_line(["bnadapt", "my images", "a\x07"]))
        bnadapt 'my images' $'a\x07'
    """
    return " ".join(map(_quoted, tokens))


def show_safely() -> None:
    """Make standard streams, logs and warnings safe: whatever is written arrives and has no effect on the terminal.

    A closed stream discards its output, so that no file gets its number. Characters that an encoding lacks are written
    as escapes.
    """
    _fill_descriptors()
    sys.stdout, sys.stderr = (_open(stream) for stream in (sys.stdout, sys.stderr))
    logging.setLogRecordFactory(_VisibleRecord)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {visible(str(message))}\n"


class _VisibleRecord(logging.LogRecord):
    def getMessage(self) -> str:
        return visible(super().getMessage())


def _quoted(token: str) -> str:
    if in_a_line(token) == token:
        return shlex.quote(token)
    characters = (
        chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(token)
    )
    return f"$'{''.join(characters)}'"


def _fill_descriptors() -> None:
    """Open the standard streams that are closed; otherwise a file opened later would take their place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _open(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", errors="backslashreplace")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream
