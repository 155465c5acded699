"""Types of engine/gather.py: gather() is typed as asyncio's."""

from asyncio import gather as gather
