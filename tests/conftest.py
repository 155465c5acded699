"""For all tests: no live view, unless a test asks for it, so that counts of threads and descriptors stay true."""

import gc
import os

os.environ["CLEARLOOP_LIVE"] = "0"


def pytest_collection_finish():
    """Hundreds of tests collect garbage; what pytest, the modules and the tests themselves hold need not be walked."""
    gc.collect()
    gc.freeze()
