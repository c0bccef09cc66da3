"""Two users of one web server, which asks them for their passwords."""

import base64
import re

from lib import clients, rig

PATCH = {"Content-Type": "application/offset+octet-stream"}
OWNER = {"param": "REMOTE_USER"}


def login(user, password="secret"):
    return {"Authorization": "Basic " + base64.b64encode(
        f"{user}:{password}".encode()).decode()}


JOE, SUE, NOBODY = login("joe"), login("sue"), {}

# sha1 of "secret"
HTPASSWD = "".join(
    f"{user}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n" for user in ("joe", "sue"))


def example(path, pattern):
    """Lines of a snippet, and the same without their #."""
    block = re.search(pattern, rig.snippet(path, {}), re.S).group()
    return block, re.sub(r"(?m)^(\s*)#", r"\1", block)


def nginx(passwords):
    block, live = example("etc/nginx/tusfcgi.conf",
                          r"\t#     limit_except.*?if_not_empty;\n")
    live = live.replace("/etc/nginx/tusfcgi.htpasswd", str(passwords))
    return {block: live, 'fastcgi_param REMOTE_USER       "";': ""}


def apache(passwords):
    _, live = example("etc/apache/tusfcgi-proxy.conf",
                      r"[^\n]*AuthType Basic.*?</RequireAny>\n")
    live = live.replace("/etc/apache2/tusfcgi.htpasswd", str(passwords))
    return {"\tRequire all granted\n": live}


def lighttpd_lines(passwords):
    block, live = example("etc/lighttpd/tusfcgi.conf",
                          r"#     server.modules \+= \( \"mod_auth.*?\n#     }\n")
    return block, live.replace("/etc/lighttpd/tusfcgi.htpasswd",
                               str(passwords))


def lighttpd(passwords):
    block, live = lighttpd_lines(passwords)
    return {block: live}


def lighttpd_spawn(passwords):
    see = "# Passwords, HTTPS and bodies of unknown length: see tusfcgi.conf"
    return {see: lighttpd_lines(passwords)[1] + see}


def htaccess(passwords):
    block, live = example("etc/apache/htaccess/.htaccess",
                          r"#     AuthType Basic.*?</RequireAny>\n")
    return {block: live.replace("/home/you/tusfcgi.htpasswd", str(passwords))}


# What a snippet needs to ask for them, as it says itself.
LINES = {"nginx": nginx, "lighttpd": lighttpd,
         "lighttpd-spawn": lighttpd_spawn, "apache-proxy": apache,
         "apache-fcgid": apache, "htaccess": htaccess}


def create(one, who, size, **headers):
    status, answer, body = clients.request(
        "POST", one.url, {"Upload-Length": str(size), **who, **headers}, b"")
    assert status == 201, (status, body)
    return one.origin + answer["Location"]


def ask(method, url, who, headers=None, body=None):
    return clients.request(method, url, {**who, **(headers or {})}, body)


def whole(one, who, data, **headers):
    url = create(one, who, len(data), **headers)
    assert ask("PATCH", url, who, {**PATCH, "Upload-Offset": "0"},
               data)[0] == 204
    return url
