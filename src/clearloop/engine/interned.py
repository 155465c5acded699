"""The table of what records name by a number: code objects, and the names of types and of functions written in C.

One per process.  It keeps code objects and strings alive, never an object of the program's: of a type only its name.
So the address of a type may come to belong to another one; the address of its name, which the table holds, may not, and
is compared.  MOST entries; what comes later has the number 0, "not kept".
"""

import functools

import cython
from cython.cimports.clearloop.system.callables import (
    NamedBy,
    cfunction_method,
    function_code,
    is_cfunction,
    is_function,
    is_method,
    method_function,
    method_name,
    type_ident,
)
from cython.cimports.clearloop.system.capi import type_of
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdlib import calloc, free

MOST = cython.declare(cython.uint, 16384)

_type_name = cython.declare(object, type.__dict__["__qualname__"].__get__)
_partial = cython.declare(object, functools.partial)
_partial_func = cython.declare(object, functools.partial.__dict__["func"].__get__)
_type_short_name = cython.declare(object, type.__dict__["__name__"].__get__)
_entries = cython.declare(list, [None])
_names = cython.declare(list, [])  # which own the text that types point at

_slots = cython.declare(cython.pointer(NamedBy), cython.NULL)
_mask = cython.declare(cython.size_t, 0)


def table():
    """What each number stands for, by index: a code object, or (kind, name); None for 0."""
    return list(_entries)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def place_of(key: cython.p_void, mask: cython.size_t) -> cython.size_t:
    address: cython.size_t = cython.cast(cython.size_t, key)
    return ((address >> 4) ^ (address >> 16)) & mask


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def known(key: cython.p_void, witness: cython.p_void) -> cython.uint:
    """The number of what has this address and this name, or 0."""
    place: cython.size_t
    if _slots == cython.NULL:
        return 0
    place = place_of(key, _mask)
    while _slots[place].key != cython.NULL:
        if _slots[place].key == key:
            return _slots[place].id if _slots[place].witness == witness else 0
        place = (place + 1) & _mask
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def grow() -> cython.bint:
    """Room for twice as many; False when there is no memory."""
    global _slots, _mask
    size: cython.size_t = 2 * (_mask + 1) if _slots != cython.NULL else 512
    place: cython.size_t
    old: cython.size_t
    fresh: cython.pointer(NamedBy) = cython.cast(
        cython.pointer(NamedBy), calloc(size, cython.sizeof(NamedBy))
    )
    if fresh == cython.NULL:
        return False
    if _slots != cython.NULL:
        for old in range(_mask + 1):
            if _slots[old].key != cython.NULL:
                place = place_of(_slots[old].key, size - 1)
                while fresh[place].key != cython.NULL:
                    place = (place + 1) & (size - 1)
                fresh[place] = _slots[old]
        free(_slots)
    _slots = fresh
    _mask = size - 1
    return True


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def full() -> cython.bint:
    return cython.cast(cython.uint, len(_entries)) > MOST


@cython.cfunc
def add(key: cython.p_void, witness: cython.p_void, entry: object) -> cython.uint:
    number: cython.uint = cython.cast(cython.uint, len(_entries))
    if full() or ((_slots == cython.NULL or 2 * cython.cast(cython.size_t, number) > _mask) and not grow()):
        return 0
    place: cython.size_t = place_of(key, _mask)
    _entries.append(entry)
    while _slots[place].key != cython.NULL and _slots[place].key != key:
        place = (place + 1) & _mask
    _slots[place].key = key
    _slots[place].witness = witness
    _slots[place].id = number
    return number


def code_id(code):
    number: cython.uint = known(code, cython.NULL)
    if number == 0 and code != cython.NULL:
        try:
            number = add(code, cython.NULL, cython.cast(object, code))
        except BaseException:
            pass  # no memory: it has no number
    return number


def type_id(kind):
    witness: cython.p_void = type_ident(kind)
    number: cython.uint = known(kind, witness)
    if number == 0 and not full():
        try:
            _names.append(_type_short_name(cython.cast(object, kind)))
            number = add(kind, witness, ("type", _type_name(cython.cast(object, kind))))
        except BaseException:
            pass
    return number


@cython.cfunc
@cython.exceptval(check=False)
def cfunction_id(function: cython.pointer(PyObject)) -> cython.uint:
    key: cython.p_void = cfunction_method(function)
    witness: cython.p_void = method_name(key)
    number: cython.uint = known(key, witness)
    if number == 0:
        try:
            number = add(key, witness, ("type", cython.cast(object, function).__qualname__))
        except BaseException:
            pass
    return number


def callable_id(callback):
    """A function by its code, a C function by its name, everything else by its type."""
    for _ in range(8):
        if is_method(callback):
            callback = method_function(callback)
        elif type_of(callback) == cython.cast(cython.pointer(PyObject), _partial):
            inner = _partial_func(cython.cast(object, callback))  # held by the partial
            callback = cython.cast(cython.pointer(PyObject), inner)
        else:
            break
    if is_function(callback):
        return code_id(function_code(callback))
    if is_cfunction(callback):
        return cfunction_id(callback)
    if isinstance(cython.cast(object, callback), type):
        return type_id(callback)
    return type_id(type_of(callback))
