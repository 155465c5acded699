"""Types of settings.py, for the command."""

terminal: bool
report: str | None
advice: str | None
dump_on_stall: str | None
