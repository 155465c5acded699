"""The command `clearloop`: one file per subcommand, `main` to choose among them.

Nothing else in clearloop knows this room. It is also where start-up time is felt, so a file here imports what
it needs when it needs it.
"""
