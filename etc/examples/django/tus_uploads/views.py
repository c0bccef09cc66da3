import hashlib
import hmac
import json
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponseForbidden, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .models import Upload

MOST = 10 << 30  # bytes of one upload


def is_signed(request):
    """Nobody but tusfcgi knows the secret."""
    mine = hmac.new(settings.TUS_HOOK_SECRET.encode(), request.body,
                    hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={mine}".encode(),
                               request.headers.get("X-Hook-Signature", "").encode())


def user_of(event):
    """Who sent the request that the event is about, by the session's cookie."""
    headers = event["HTTPRequest"]["Header"]
    try:
        cookies = SimpleCookie("; ".join(headers.get("Cookie", [])))
    except CookieError:
        cookies = {}
    key = cookies.get(settings.SESSION_COOKIE_NAME)
    asked = HttpRequest()
    asked.session = import_module(settings.SESSION_ENGINE).SessionStore(
        key.value if key else None)
    return get_user(asked)


def refuse(status, why):
    return {"RejectUpload": True,
            "HTTPResponse": {"StatusCode": status, "Body": why + "\n"}}


def pre_create(event):
    upload, user = event["Upload"], user_of(event)
    if not user.is_authenticated:
        return refuse(403, "log in first")
    if upload["Size"] > MOST:
        return refuse(413, "at most 10 GiB")
    # Whatever the client has said: this is who it is.
    metadata = {**upload["MetaData"], "django_user": str(user.pk)}
    return {"ChangeFileInfo": {"MetaData": metadata}}


def post_finish(event):
    """May be told twice, and is written down once."""
    upload = event["Upload"]
    if not upload["IsPartial"]:
        Upload.objects.get_or_create(id=upload["ID"], defaults={
            "user_id": upload["MetaData"]["django_user"],
            "name": upload["MetaData"].get("filename", "")[:255],
            "size": upload["Size"],
            "path": upload["Storage"]["Path"]})
    return {}


def post_terminate(event):
    Upload.objects.filter(id=event["Upload"]["ID"]).delete()
    return {}


HOOKS = {"pre-create": pre_create, "post-finish": post_finish,
         "post-terminate": post_terminate}


@csrf_exempt
@require_POST
def hook(request):
    if not is_signed(request):
        return HttpResponseForbidden()
    said = json.loads(request.body)
    return JsonResponse(HOOKS.get(said["Type"], lambda event: {})(said["Event"]))
