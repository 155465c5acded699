"""Types of engine/shield.py: shield() is typed as asyncio's."""

from asyncio import shield as shield
