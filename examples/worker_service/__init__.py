"""An application: jobs from a queue, a library that blocks, results in a database."""
