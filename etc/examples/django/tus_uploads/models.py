from django.conf import settings
from django.db import models


class Upload(models.Model):
    """A finished upload; its bytes are where path says."""

    id = models.CharField(primary_key=True, max_length=64)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    path = models.CharField(max_length=4096)
    finished = models.DateTimeField(auto_now_add=True)
