"""Store the details of rejections."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deals_api', '0015_worker_jobs'),
    ]

    operations = [
        migrations.CreateModel(
            name='RejectionDetails',
            fields=[
                ('upload', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='+', serialize=False, to='deals_api.upload')),
                ('code', models.CharField(help_text='Code of the error.', max_length=64)),
                ('problems', models.TextField(help_text='Invalid cells, as JSON.')),
            ],
        ),
    ]
