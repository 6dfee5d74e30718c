"""The database backend: time limits without session state, and a primary that accepts writes.

With a connection pooler in transaction mode, such as PgBouncer, each transaction may run in another session, and a
session serves many clients. Hence nothing is set for a session, neither by startup parameters nor by ``SET``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, OperationalError
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg2 import Error
from psycopg2.extensions import STATUS_READY, cursor

#: Time limits of every transaction; a bulk load disables ``statement_timeout``.
TIME_LIMITS: Final = {
    "statement_timeout": "60s",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if self.alias != NO_DB_ALIAS:  # for CREATE DATABASE, which must be the only statement of its message
            params["cursor_factory"] = _cursor_with_limits(params.get("options", ""))
        return params

    @property
    def is_replica(self) -> bool:
        """Whether the server may be read-only. A failing read on a replica is repeated on the primary."""
        return self.alias not in (DEFAULT_DB_ALIAS, NO_DB_ALIAS)

    def connect(self) -> None:
        """Raises: OperationalError, if the server of the primary is read-only.

        libpq checks it too, but a pooler may answer for a server that has changed since.
        """
        super().connect()
        if not self.is_usable():
            self.close()
            raise OperationalError("The database server is read-only.")

    def is_usable(self) -> bool:
        """Return whether the server responds and accepts writes; the health check of each request.

        After a failover, a read-only server may lack uploads that were confirmed to clients. A replica is not
        queried, because it might not respond.
        """
        if self.is_replica:
            return not self.connection.closed
        try:
            with cursor(self.connection) as unlimited:
                unlimited.execute("SHOW transaction_read_only")
                return bool(unlimited.fetchone() == ("off",))
        except Error:
            return False


@cache
def _cursor_with_limits(options: str) -> type[cursor]:
    """Return the cursor class for a connection with these startup options, which replace the limits that they set."""
    names = {name.replace("-", "_").lower() for name in re.findall(r"(?:-c\s*|--)([\w-]+)\s*=", options)}
    limits = "".join(f"SET LOCAL {name} = '{limit}'; " for name, limit in TIME_LIMITS.items() if name not in names)

    class LimitedCursor(cursor):
        def execute(self, query: Any, vars: Any = None) -> None:
            """Send the limits in the same message as the first statement of a transaction.

            A message outside a transaction is one transaction, so the limits end with it.
            """
            super().execute(limits + query if self.connection.status == STATUS_READY else query, vars)

    return LimitedCursor
