import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("runs", "0010_pause"),
    ]

    operations = [
        migrations.AlterField(
            model_name="runtimeline",
            name="run",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="timelines",
                to="runs.run",
            ),
        ),
        # A run is also deleted in one statement of SQL, of which Django's cascade knows nothing.
        migrations.RunSQL(
            "ALTER TABLE runs_runtimeline ADD CONSTRAINT timeline_of_run FOREIGN KEY (run_id)"
            " REFERENCES runs_run (run_id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE runs_runtimeline DROP CONSTRAINT timeline_of_run",
        ),
    ]
