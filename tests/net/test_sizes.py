"""What an idle connection and a scheduled callback may weigh: each field more is paid by thousands."""

import pytest

from clearloop.engine.handle import Handle
from clearloop.net.transport import StreamTransport


@pytest.mark.parametrize(("kind", "most"), [(StreamTransport, 320), (Handle, 72)])
def test_the_fields_of_what_there_are_many_of_stay_within_bounds(kind: type, most: int) -> None:
    # beside the object's own header, whose size is the interpreter's
    assert kind.__basicsize__ - object.__basicsize__ <= most
