from clearloop.engine.scheduler cimport Scheduler
