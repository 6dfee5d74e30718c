"""Let SQLite find the rows of a snapshot by their rowids: the type of their primary keys becomes INTEGER.

On SQLite this rewrites the tables. On PostgreSQL nothing changes.
"""

from django.db import migrations

from deals_api.models import RowIdField


class Migration(migrations.Migration):

    dependencies = [
        ("deals_api", "0016_rejection_details"),
    ]

    # A table with foreign keys is written again for each of the tables that they refer to, so deals come last.
    operations = [
        migrations.AlterField(name, "id", RowIdField(primary_key=True, serialize=False))
        for name in ("gemday", "gemmonth", "customer", "gem", "purchase", "deal")
    ]
