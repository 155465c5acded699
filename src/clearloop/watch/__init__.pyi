"""Types of what programs use of watch/."""

from clearloop.watch.advice import advise as advise
from clearloop.watch.callbacks import Subscription as Subscription
from clearloop.watch.callbacks import on_stall as on_stall
from clearloop.watch.dumping import dump as dump
from clearloop.watch.stall import Delayed as Delayed
from clearloop.watch.stall import Frame as Frame
from clearloop.watch.stall import Stall as Stall
from clearloop.watch.expecting import expect_block as expect_block
from clearloop.watch.statistics import Stats as Stats
from clearloop.watch.statistics import TaskStats as TaskStats
from clearloop.watch.statistics import stats as stats
from clearloop.watch.statistics import time_tasks as time_tasks
