cdef object task_behind(object entry)
