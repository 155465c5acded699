"""How a part of the command says that it was called wrongly: `main` prints one line and ends with 2."""


class UsageError(Exception):
    """What is wrong with the command line, as one line for its user."""
