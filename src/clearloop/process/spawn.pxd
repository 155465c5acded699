# The stages at which starting a program may fail, see system/spawn.pxd.
