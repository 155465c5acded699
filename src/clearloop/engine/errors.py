"""What happens to an error that nobody awaits: asyncio's exception handler, with its contract."""

import traceback
from asyncio.log import logger

from clearloop.engine import findings


def call_exception_handler(loop, handler, context):
    """Hand `context` to the loop's handler, or log it; a handler that fails is logged and never ends the loop."""
    findings.error_came(context)
    if handler is None:
        _guarded_default(loop, context, "Exception in default exception handler")
        return
    try:
        running = context.get("task") or context.get("future") or context.get("handle")
        of_the_source = None
        if running is not None and hasattr(running, "get_context"):
            of_the_source = running.get_context()
        if of_the_source is not None and hasattr(of_the_source, "run"):
            of_the_source.run(handler, loop, context)
        else:
            handler(loop, context)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        _guarded_default(
            loop,
            {"message": "Unhandled error in exception handler", "exception": error, "context": context},
            "Exception in default exception handler while handling an unexpected error in custom exception handler",
        )


def _guarded_default(loop, context, complaint):
    try:
        loop.default_exception_handler(context)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        logger.error(complaint, exc_info=True)


def log_context(loop, context):
    """The default handler: one error record with everything the context says."""
    message = context.get("message") or "Unhandled exception in event loop"
    error = context.get("exception")
    exc_info = (type(error), error, error.__traceback__) if error is not None else False
    if "source_traceback" not in context:
        handle = loop._current_handle()
        if handle is not None and getattr(handle, "_source_traceback", None):
            context["handle_traceback"] = handle._source_traceback
    lines = [message]
    for key in sorted(context):
        if key in ("message", "exception"):
            continue
        value = context[key]
        if key == "source_traceback":
            value = "Object created at (most recent call last):\n" + "".join(traceback.format_list(value)).rstrip()
        elif key == "handle_traceback":
            value = "Handle created at (most recent call last):\n" + "".join(traceback.format_list(value)).rstrip()
        else:
            value = repr(value)
        lines.append(f"{key}: {value}")
    logger.error("\n".join(lines), exc_info=exc_info)
