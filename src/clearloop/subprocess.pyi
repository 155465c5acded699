"""Types of subprocess.py.  The functions and Process are typed as asyncio's, whose parameters and methods they have."""

import asyncio
from asyncio.subprocess import create_subprocess_exec as create_subprocess_exec
from asyncio.subprocess import create_subprocess_shell as create_subprocess_shell
from subprocess import DEVNULL as DEVNULL
from subprocess import PIPE as PIPE
from subprocess import STDOUT as STDOUT

__all__ = ["DEVNULL", "PIPE", "STDOUT", "Process", "create_subprocess_exec", "create_subprocess_shell"]

class Process(asyncio.subprocess.Process): ...
