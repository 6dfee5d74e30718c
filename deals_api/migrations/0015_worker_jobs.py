"""Add the jobs of the worker: asynchronous uploads and webhook deliveries."""

import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deals_api', '0014_load_progress'),
    ]

    operations = [
        migrations.CreateModel(
            name='QueuedUpload',
            fields=[
                ('task_id', models.UUIDField(editable=False, help_text='The last task that was enqueued.', null=True)),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, help_text='The earliest start of that task.')),
                ('upload', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='queued', serialize=False, to='deals_api.upload')),
                ('stored_file', models.CharField(help_text='Name of the file in the storage.', max_length=255)),
                ('expected_snapshot', models.UUIDField(help_text='The upload that If-Match requires to be current.', null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='Loads that workers have begun.')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.AlterField(
            model_name='upload',
            name='state',
            field=models.CharField(choices=[('queued', 'waiting for a worker'), ('loading', 'being loaded'), ('loaded', 'loaded; its rows can be read'), ('refused', 'rejected'), ('interrupted', 'interrupted before it was loaded'), ('cancelled', 'cancelled by a client before it was loaded'), ('retired', 'loaded once; its rows are being deleted'), ('pruned', 'loaded once; its rows were deleted')], default='loading', max_length=16),
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('task_id', models.UUIDField(editable=False, help_text='The last task that was enqueued.', null=True)),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, help_text='The earliest start of that task.')),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('payload', models.TextField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('status_code', models.PositiveSmallIntegerField(help_text='Of the last response.', null=True)),
                ('error', models.TextField(default='', help_text='Of the last attempt.')),
                ('delivered_at', models.DateTimeField(null=True)),
                ('upload', models.ForeignKey(help_text='The upload that became current.', on_delete=django.db.models.deletion.PROTECT, related_name='+', to='deals_api.upload')),
            ],
            options={
                'verbose_name_plural': 'webhook deliveries',
                'ordering': ['-created_at'],
            },
        ),
    ]
