"""Rename Upload.rows to Upload.deal_count in Python only.

The column keeps the name ``rows``, so the migration executes no SQL, and processes of the previous release can
read and write the table during an upgrade.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("deals_api", "0006_name_lengths"),
    ]

    operations = [
        migrations.AlterField(
            "upload", "rows", models.BigIntegerField(db_column="rows", default=0, help_text="Deals in the file.")
        ),
        migrations.RenameField("upload", "rows", "deal_count"),
    ]
