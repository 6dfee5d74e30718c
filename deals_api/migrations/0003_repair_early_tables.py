"""Repair databases that early versions of 0001_initial created.

0001_initial was edited four times after it had landed, so a database may record it as applied and still
lack columns, or have constraints under their first names. This migration looks at the real tables, applies
only the missing operations and computes the new columns from the stored rows. It changes nothing in a
database that is complete. Counts of uploads whose rows are already deleted cannot be computed and stay 0.

It comes before all later migrations, because SQLite copies the table of uploads for them and would take the name
of a missing column for a text.

It imports nothing of the application, because a migration that has landed is never edited.
"""

from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

#: Model, column, and the field that fills existing rows.
COLUMNS = [
    ("upload", "customer_count", models.BigIntegerField(default=0, help_text="Different customers in the file.")),
    ("upload", "gem_count", models.BigIntegerField(default=0, help_text="Different gems in the file.")),
    ("customer", "gem_count", models.BigIntegerField(default=0, help_text="Different gems bought.")),
    ("gem", "buyer_count", models.BigIntegerField(default=0, help_text="Different customers who bought it.")),
    ("currentupload", "announced", models.UUIDField(null=True)),
]

#: Model, first name of a unique constraint, its name today, its fields.
CONSTRAINTS = [
    ("customer", "a_username_is_unique_in_its_upload", "a_username_is_unique_in_an_upload", ("upload", "username")),
    ("gem", "a_gem_is_unique_in_its_upload", "a_gem_is_unique_in_an_upload", ("upload", "name")),
]


class RepairEarlyTables(Operation):
    """Bring the tables to the state that the migrations record; the recorded state does not change."""

    reversible = True
    atomic = True

    def state_forwards(self, app_label, state):
        pass

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        connection = schema_editor.connection
        if connection.vendor == "postgresql":
            schema_editor.execute("SET LOCAL statement_timeout = 0")
        tables = Tables(connection, to_state.apps, app_label)
        columns = [column for column in COLUMNS if not tables.has_column(*column[:2])]
        constraints = [constraint for constraint in CONSTRAINTS if tables.has_constraint(*constraint[:2])]
        if not columns and not constraints:
            return
        state = real_state(app_label, to_state, columns, constraints)
        for operation in missing_operations(columns, constraints):
            previous, state = state, state.clone()
            operation.state_forwards(app_label, state)
            operation.database_forwards(app_label, schema_editor, previous, state)
        compute_counts(to_state.apps, app_label, {column[:2] for column in columns})

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        pass

    def describe(self):
        return "Repair tables that early versions of 0001_initial created"


class Tables:
    """The columns and constraints that the database really has."""

    def __init__(self, connection, apps, app_label):
        self.connection = connection
        self.apps = apps
        self.app_label = app_label

    def has_column(self, model, column):
        with self.connection.cursor() as cursor:
            description = self.connection.introspection.get_table_description(cursor, self.table(model))
        return column in {info.name for info in description}

    def has_constraint(self, model, name):
        with self.connection.cursor() as cursor:
            return name in self.connection.introspection.get_constraints(cursor, self.table(model))

    def table(self, model):
        return self.apps.get_model(self.app_label, model)._meta.db_table


def real_state(app_label, state, columns, constraints):
    """The recorded state without the missing columns, and with the first names of the constraints."""
    state = state.clone()
    for model, column, _ in columns:
        state.remove_field(app_label, model, column)
    for model, first, today, fields in constraints:
        state.remove_constraint(app_label, model, today)
        state.add_constraint(app_label, model, models.UniqueConstraint(fields=fields, name=first))
    return state


def missing_operations(columns, constraints):
    for model, first, today, fields in constraints:
        yield migrations.RemoveConstraint(model, first)
        yield migrations.AddConstraint(model, models.UniqueConstraint(fields=fields, name=today))
    for model, column, field in columns:
        yield migrations.AddField(model, column, field, preserve_default=model == "upload")


def compute_counts(apps, app_label, columns):
    """Fill the new columns from the rows that uploads still have."""
    upload, customer, gem, purchase = (
        apps.get_model(app_label, name) for name in ("upload", "customer", "gem", "purchase")
    )
    if ("upload", "customer_count") in columns:
        upload.objects.filter(state="loaded").update(customer_count=rows_of(customer, upload_id=OuterRef("pk")))
    if ("upload", "gem_count") in columns:
        upload.objects.filter(state="loaded").update(gem_count=rows_of(gem, upload_id=OuterRef("pk")))
    if ("customer", "gem_count") in columns:
        customer.objects.update(gem_count=rows_of(purchase, customer_id=OuterRef("pk")))
    if ("gem", "buyer_count") in columns:
        gem.objects.update(buyer_count=rows_of(purchase, gem_id=OuterRef("pk")))


def rows_of(model, **condition):
    """The number of rows that fulfil the condition, as a subquery."""
    (column,) = condition
    counted = model.objects.filter(**condition).order_by().values(column).annotate(count=Count("pk"))
    return Coalesce(Subquery(counted.values("count")), 0)


class Migration(migrations.Migration):

    dependencies = [
        ("deals_api", "0002_installation"),
    ]

    operations = [RepairEarlyTables()]
