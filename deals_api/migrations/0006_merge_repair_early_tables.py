from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("deals_api", "0004_arrival_time_of_the_database"),
        ("deals_api", "0005_repair_early_tables"),
    ]

    operations = []
