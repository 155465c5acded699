# Compiled for the reason that dying.py gives; it has nothing to declare.
