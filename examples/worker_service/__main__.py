"""`python -m worker_service [--broker URL] [--database URL] [--port N] [--limit N] [--jobs N] [--service NAME]`."""

import argparse
import importlib

import clearloop
from worker_service.queues import open_queue
from worker_service.stores import open_store


def arguments():
    parser = argparse.ArgumentParser(prog="worker_service", description="Work through jobs from a queue.")
    parser.add_argument("--broker", help="amqp:// URL of RabbitMQ (default: a queue in the process)")
    parser.add_argument("--database", help="postgresql:// URL, or a path for SQLite", default="results.sqlite")
    parser.add_argument("--port", type=int, default=8080, help="of the health page; 0 takes a free one")
    parser.add_argument("--limit", type=int, default=8, help="jobs at once")
    parser.add_argument("--jobs", type=int, default=50, help="jobs that the queue in the process begins with")
    parser.add_argument("--callback", help="http:// URL that is asked for each job")
    parser.add_argument("--service", default="service", choices=["service", "blocked"])
    return parser.parse_args()


async def main(options, service):
    async with open_queue(options.broker, options.jobs, options.limit) as queue, open_store(options.database) as store:
        await service.serve(queue, store, options)


options = arguments()
service = importlib.import_module(f"worker_service.{options.service}")  # before the loop runs, which it would hold
clearloop.run(main(options, service))
