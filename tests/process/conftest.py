"""How the end of a child is noticed, for the tests that go both ways."""

import pytest


@pytest.fixture(params=["pidfd", "thread"])
def ends(request, monkeypatch):
    """How the end of a child is noticed: by its descriptor, or where there is none, by a thread."""
    monkeypatch.setenv("CLEARLOOP_PIDFD", "1" if request.param == "pidfd" else "0")
    return request.param
