"""Uploads of logged-in users by tusfcgi, for Django.

settings.py:

    INSTALLED_APPS += ["tus_uploads"]
    TUS_HOOK_SECRET = "a long secret"

urls.py:

    path("tus/", include("tus_uploads.urls")),

tusfcgi.conf:

    hooks: {
        url = "http://127.0.0.1:8000/tus/hook";
        secret = "a long secret";
        events = ( "pre-create", "post-finish", "post-terminate" );
        forward_headers = ( "Cookie" );
    };

The cookie of the session says who uploads, so uploads have to be on the same
site, for example at /files/.
"""
