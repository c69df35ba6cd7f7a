"""The relay carries between Redis and Postgres, and knows both.

    recorder.py       records of ended attempts, from the stream to the ledger; read this first
    intake.py         what it takes next, and how much at once
    carrying.py       a portion of it into the ledger, decoded only where it must be
    decoding.py       what the stream holds -> an execution
    ledger_keeper.py  the ledger's upkeep, beside the records

Neither side is changed before the other has it for good.
"""
