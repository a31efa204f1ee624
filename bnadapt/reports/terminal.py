"""What commands print."""

from typing import Any

import rich.console
from rich.text import Text

from bnadapt.reports.text import visible


class Console(rich.console.Console):
    """Rich's, in which texts are shown as they are: no markup or emoji codes, no control characters, long lines whole.

    Args:
        **options: of rich.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"soft_wrap": True, "markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """All texts that are printed pass here, those in tables too."""
        return super().render_str(visible(text), **options)
