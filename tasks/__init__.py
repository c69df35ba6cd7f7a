"""Tasks that come with jobsd, and an example of how to write your own: this package sees only jobsd's public face.

export.py         export:process, a named query as a CSV file; read this first
named_queries.py  what can be exported: queries/*.sql

``tasks = ["tasks"]`` in jobsd.toml imports this module, and with it every module named here.
"""

from tasks import export

__all__ = ["export"]
