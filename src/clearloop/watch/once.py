"""Says once that something in watching does not work; it never does so into the program."""

_said = set()
MOST = 100


def complain(text, error=None):
    """Log `text` as a warning of the logger "clearloop", the first time that it comes; `error` with its traceback."""
    if text in _said or len(_said) >= MOST:
        return
    _said.add(text)
    try:
        import logging

        logging.getLogger("clearloop").warning("clearloop: %s", text, exc_info=error)
    except Exception:  # a logging handler of the program's: there is nobody left to tell
        return
