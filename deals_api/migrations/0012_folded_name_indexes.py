from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("deals_api", "0011_fill_folded_names"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(fields=["upload", "username_folded"], name="customer_by_folded_name"),
        ),
        migrations.AddIndex(
            model_name="gem",
            index=models.Index(fields=["upload", "name_folded"], name="gem_by_folded_name"),
        ),
    ]
