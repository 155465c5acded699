"""CPython's own asyncio tests, run on clearloop.

The tests come from the interpreter that runs them (``test.test_asyncio``) and are never copied: at collection each
test module is imported, and for every class in it that is about *a* loop, task, future, lock or stream, rather than
about the private parts of asyncio's selector loop, a derived class is made whose loop is clearloop's.

=================== =============================================================================================
``target``          which loop, Task and Future are under test
``redirect``        for the length of one test, every name that makes an asyncio loop makes the target's instead
``virtual_time``    the target's loop under a clock that the test drives, in place of the test-suite's own
``derive``          from a CPython test class to one that runs on the target
``plan``            which classes, in which variants
``exclusions``      reads ``exclusions.toml``: what does not run, and why
``test_cpython``    where pytest finds the result; ``test_harness`` keeps the lists honest
=================== =============================================================================================

Environment: ``CLEARLOOP_CONFORMANCE_LOOP=asyncio`` runs the whole harness on asyncio's own loop, where everything must
pass, which shows that a failure on clearloop is clearloop's; ``CLEARLOOP_CONFORMANCE_LATER=1`` also runs what belongs
to features still to come; ``CLEARLOOP_CONFORMANCE_PRIVATE=1`` also runs what is excluded.
"""
