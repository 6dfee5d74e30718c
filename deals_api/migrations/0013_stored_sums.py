"""Add the minimum and maximum of purchases, and the sums by gem and period.

The columns are nullable, so that processes of the previous release can insert rows during an upgrade. Nothing is
filled: reports on uploads of the previous release read their deals.
"""

import deals_api.models
import django.db.models.deletion
from django.db import migrations, models


def sums_by_gem_and_period():
    """Return the fields of one of the two tables."""
    return [
        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
        ("start", models.DateField(help_text="The first day of the period.")),
        ("deal_count", models.BigIntegerField()),
        ("quantity", models.BigIntegerField()),
        ("total", deals_api.models.MoneyField()),
        ("min_total", deals_api.models.MoneyField()),
        ("max_total", deals_api.models.MoneyField()),
        (
            "gem",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="deals_api.gem",
            ),
        ),
        (
            "upload",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="deals_api.upload",
            ),
        ),
    ]


class Migration(migrations.Migration):

    dependencies = [
        ("deals_api", "0012_folded_name_indexes"),
    ]

    operations = [
        migrations.CreateModel(name="GemDay", fields=sums_by_gem_and_period(), options={"abstract": False}),
        migrations.CreateModel(name="GemMonth", fields=sums_by_gem_and_period(), options={"abstract": False}),
        migrations.AddField(
            model_name="purchase",
            name="min_total",
            field=deals_api.models.MoneyField(null=True),
        ),
        migrations.AddField(
            model_name="purchase",
            name="max_total",
            field=deals_api.models.MoneyField(null=True),
        ),
        migrations.AddField(
            model_name="upload",
            name="purchase_count",
            field=models.BigIntegerField(
                editable=False, help_text="Purchases with their minimum and maximum.", null=True
            ),
        ),
        migrations.AddField(
            model_name="upload",
            name="gem_day_count",
            field=models.BigIntegerField(editable=False, help_text="Stored sums by gem and day.", null=True),
        ),
        migrations.AddField(
            model_name="upload",
            name="gem_month_count",
            field=models.BigIntegerField(editable=False, help_text="Stored sums by gem and month.", null=True),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(
                condition=models.Q(("gem_day_count__isnull", False)), fields=["state"], name="upload_with_gem_days"
            ),
        ),
    ]
