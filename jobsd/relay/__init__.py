"""The relay carries between Redis and Postgres, and knows both.

    recorder.py  records of ended attempts, from the stream to the ledger; read this first
    decoding.py  what the stream holds -> an execution

Neither side is changed before the other has it for good.
"""
