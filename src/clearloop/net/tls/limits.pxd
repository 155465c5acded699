cdef enum:
    RECORDS_PER_STEP = 512     # then the other connections have their turn
    MOST_IDLE = 128            # records in a row that carry no data
    MOST_UNASKED = 65536       # bytes of answers that the peer does not take


cdef object flood_of_records()
cdef object flood_of_answers()
