"""The one exception of what a user can put right."""


class InputError(ValueError):
    """An input that cannot be used: its sentence names file, value and remedy.

    The command line prints the sentence and exits with status 2; in Python it is a ValueError.
    """
