"""What people see: the tree of tasks in a terminal, and the way to the processes that it is asked of."""
