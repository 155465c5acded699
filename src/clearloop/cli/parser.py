"""Reads a subcommand's options: argparse, except that a wrong call gives one line, not the whole usage."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from clearloop.cli.usage import UsageError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError, never abbreviates, and knows which options take a value."""

    def __init__(self, **settings: object) -> None:
        settings.setdefault("allow_abbrev", False)
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def options_with_value(self) -> set[str]:
        """The option strings after which the next word is a value, not an option or a script."""
        return {name for action in self._actions if action.nargs != 0 for name in action.option_strings}


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Make what reads an option's value as seconds, within these bounds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {least:g} to {most:g}")
        return value

    return read
