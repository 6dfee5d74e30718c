"""Fill the folded names of all stored rows, in batches.

The migration is not one transaction, so processes of the previous release read and upload meanwhile. After a failure
it continues with the rows that are still empty. It imports nothing of the application, because a migration that has
landed is never edited.
"""

import unicodedata

from django.db import migrations

BATCH = 5_000


def fold(name):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def fill(apps, schema_editor):
    Upload, Customer, Gem = (apps.get_model("deals_api", name) for name in ("Upload", "Customer", "Gem"))
    for upload in Upload.objects.filter(state="loaded", names_folded=False).order_by("pk"):
        characters = {
            "customer_characters": fill_names(schema_editor.connection, Customer, "username", upload.pk),
            "gem_characters": fill_names(schema_editor.connection, Gem, "name", upload.pk),
        }
        # The rows of an upload are deleted after its state has changed.
        Upload.objects.filter(pk=upload.pk, state="loaded").update(names_folded=True, **characters)


def fill_names(connection, model, column, upload_id):
    """Fill the folded names of an upload; return the total length of its names, each in its longer form."""
    characters, last = 0, -1
    while True:
        rows = model.objects.filter(upload_id=upload_id, pk__gt=last).order_by("pk")
        names = list(rows.values_list("pk", column)[:BATCH])
        if not names:
            return characters
        folded = [(pk, fold(name)) for pk, name in names]
        characters += sum(max(len(name), len(form)) for (_, name), (_, form) in zip(names, folded))
        update(connection, model._meta.db_table, f"{column}_folded", folded)
        last = names[-1][0]


def update(connection, table, column, values):
    rows = ", ".join(["(%s, %s)"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH changed (pk, value) AS (VALUES {rows})"
            f' UPDATE "{table}" SET "{column}" = changed.value FROM changed WHERE "{table}"."id" = changed.pk',
            [value for pair in values for value in pair],
        )


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("deals_api", "0010_folded_names"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
