cdef class Child:
    cdef readonly int pid
    cdef public int pidfd      # of the child; -1: none
    cdef readonly dict ends    # our ends of its pipes, descriptors or the Popen's files, by its own numbers
    cdef readonly object popen # the subprocess.Popen that has started it, if one did


cpdef Child launch(object args, bint shell, object stdin, object stdout, object stderr, object bufsize, dict options)
