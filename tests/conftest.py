"""For all tests: no live view, unless a test asks for it, so that counts of threads and descriptors stay true."""

import os

os.environ["CLEARLOOP_LIVE"] = "0"
