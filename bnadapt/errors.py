"""Errors that a user can put right."""


class BnadaptError(ValueError):
    """Base of all errors that a user can put right: a sentence that names file, value and remedy.

    The command line prints the sentence and exits with status 2; in Python it is a ValueError.
    """


class InputError(BnadaptError):
    """An input that cannot be used."""
