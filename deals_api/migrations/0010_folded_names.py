"""Add the folded names. The next migration fills them, and the one after it creates their indexes."""

import deals_api.models
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("deals_api", "0009_rename_pointer_fields"),
    ]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="username_folded",
            field=deals_api.models.FoldedNameField(db_default="", default="", editable=False, max_length=1020),
        ),
        migrations.AddField(
            model_name="gem",
            name="name_folded",
            field=deals_api.models.FoldedNameField(db_default="", default="", editable=False, max_length=1020),
        ),
        migrations.AddField(
            model_name="upload",
            name="names_folded",
            field=models.BooleanField(
                db_default=False, default=False, editable=False, help_text="Whether all folded names are stored."
            ),
        ),
        migrations.AlterField(
            model_name="upload",
            name="customer_characters",
            field=models.BigIntegerField(
                help_text="Total length of the customers' names in characters, folded if that is longer.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="upload",
            name="gem_characters",
            field=models.BigIntegerField(
                help_text="Total length of the gems' names in characters, folded if that is longer.", null=True
            ),
        ),
    ]
