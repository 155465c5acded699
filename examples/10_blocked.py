"""Ten jobs that block: `time.sleep` stops the whole loop, so the jobs run one after the other."""

import time

import clearloop

log = []


async def job(n):
    log.append(f"{n} starts")
    time.sleep(0.001)  # not clearloop.sleep: nothing else can run meanwhile
    log.append(f"{n} ends")


async def main():
    await clearloop.gather(*[job(n) for n in range(10)])


clearloop.run(main())
print(*log, sep="\n")

one_by_one = [f"{n} {what}" for n in range(10) for what in ("starts", "ends")]
print("one after the other" if log == one_by_one else "side by side")
