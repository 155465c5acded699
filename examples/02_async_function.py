"""An async function: calling it runs nothing yet. It makes a coroutine, which a loop can run."""

import clearloop


async def greet(name):
    print("hello,", name)
    return len(name)


coroutine = greet("Ada")
print("nothing was printed yet; this is a", type(coroutine).__name__)
print("its result is", clearloop.run(coroutine))
