"""Rename the fields of CurrentUpload in Python only.

The columns keep their names, so the migration executes no SQL, and processes of the previous release can read and write
the table during an upgrade.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("deals_api", "0008_detected_format"),
    ]

    operations = [
        migrations.AlterField("currentupload", "arrival", models.IntegerField(db_column="arrival", default=0)),
        migrations.RenameField("currentupload", "arrival", "highest_upload_id"),
        migrations.AlterField("currentupload", "announced", models.UUIDField(db_column="announced", null=True)),
        migrations.RenameField("currentupload", "announced", "rollback_announcement"),
    ]
