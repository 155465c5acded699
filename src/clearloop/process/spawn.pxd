cdef tuple spawn(
    list files, list arguments, list environment, bytes folder, tuple ends, list kept, bint close_others,
    bint restore_signals, bint new_session, long group, long mask,
)
