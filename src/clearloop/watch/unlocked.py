"""Frames that were read without the GIL (system/unlocked.pxd): addresses of code objects, made into code objects again.

An address is never followed.  It is looked for among the code that is known to live: that of the frames that are there
now, what is defined inside of it, and the functions and classes of all modules.  What is not found is left out.
"""

import sys
import types


def frames_at(spots, frames, end):
    """[(code, instruction, globals)] for the (address, instruction) pairs, innermost first, up to the code `end`.

    `frames` are those that the thread has now, in the same form.
    """
    known = {}
    for code, _, namespace in frames:
        _add(known, code, namespace)
    if end is not None:
        known[id(end)] = (end, {})
    wanted = {address for address, _ in spots}
    if not wanted <= known.keys():
        _search(known, wanted)
    found = []
    for address, lasti in spots:
        if address not in known:
            continue
        code, namespace = known[address]
        if code is end or (code.co_name == "run_forever" and code.co_filename.endswith("clearloop/loop.py")):
            break
        if lasti < len(code.co_code):
            found.append((code, lasti, namespace))
    return found


def _add(known, code, namespace):
    if id(code) in known:
        return
    known[id(code)] = (code, namespace)
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            _add(known, constant, namespace)


def _search(known, wanted):
    """The functions of all modules, and those of their classes, until everything is found."""
    for module in list(sys.modules.values()):
        if type(module) is not types.ModuleType:
            continue
        namespace = module.__dict__
        for value in list(namespace.values()):
            if type(value) is types.FunctionType:
                _add(known, value.__code__, value.__globals__)
            elif type(value) is type:
                for method in list(type.__dict__["__dict__"].__get__(value).values()):
                    if type(method) in (staticmethod, classmethod):
                        method = method.__func__
                    if type(method) is types.FunctionType:
                        _add(known, method.__code__, method.__globals__)
        if wanted <= known.keys():
            return
