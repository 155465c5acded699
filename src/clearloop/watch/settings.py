"""Where reports go and what they decide: set by the command, by the pytest plugin and by the environment.

Plain names with defaults, and nothing imported: a program that never stalls pays for nothing else.
"""

import os

# `clearloop run` writes its lines to standard error; without it they go to logging.getLogger("clearloop").
terminal = False

# The file that --report or CLEARLOOP_REPORT names, as an absolute path: programs change their folder.
report = os.path.abspath(os.environ["CLEARLOOP_REPORT"]) if os.environ.get("CLEARLOOP_REPORT") else None

# The folder for a dump of the recorder at the first stall: --dump-on-stall, CLEARLOOP_DUMP_ON_STALL.
dump_on_stall = (
    os.path.abspath(os.environ["CLEARLOOP_DUMP_ON_STALL"]) if os.environ.get("CLEARLOOP_DUMP_ON_STALL") else None
)

# A file of further advice, in the form of advice.toml.
advice = os.path.abspath(os.environ["CLEARLOOP_ADVICE"]) if os.environ.get("CLEARLOOP_ADVICE") else None
