"""How a part of the command says that it was called wrongly: one line on stderr, exit status 2 (`main` does both)."""


class UsageError(Exception):
    """What is wrong with the command line, as one line for its user."""
