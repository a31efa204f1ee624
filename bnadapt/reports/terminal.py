"""A console that shows texts as they are."""

from typing import Any

import rich.console
from rich.text import Text

from bnadapt.text import visible


class Console(rich.console.Console):
    """Rich's console without markup, emoji codes and control characters; long lines stay whole."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"soft_wrap": True, "markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text visible; all printed texts pass through here, those in tables too."""
        return super().render_str(visible(text), **options)
