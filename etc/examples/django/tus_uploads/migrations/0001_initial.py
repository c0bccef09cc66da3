from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel("Upload", [
            ("id", models.CharField(primary_key=True, max_length=64,
                                    serialize=False)),
            ("name", models.CharField(max_length=255)),
            ("size", models.BigIntegerField()),
            ("path", models.CharField(max_length=4096)),
            ("finished", models.DateTimeField(auto_now_add=True)),
            ("user", models.ForeignKey(settings.AUTH_USER_MODEL,
                                       models.CASCADE)),
        ]),
    ]
