from clearloop.offload.call import send_to
from clearloop.offload.executor import crowd_of
from clearloop.offload.threads import ThreadPool


def send_elsewhere(loop, executor, func, args, held):
    if type(executor) is ThreadPool:
        return executor.send(loop, func, args, held)
    return send_to(executor, crowd_of(executor), loop, func, args, held, False)
