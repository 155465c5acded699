"""Start a loop: `run` makes one, runs an async function on it to its end, and closes it."""

import clearloop


async def main():
    loop = clearloop.get_running_loop()
    print("running on", type(loop).__name__)
    return "the result of main"


print("before")
print(clearloop.run(main()))
print("after")
