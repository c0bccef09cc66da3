"""lighttpd and Apache for rig.Server, each with the files that we ship.

    lighttpd        lighttpd, the program started on its own
    lighttpd-spawn  lighttpd starts the program
    apache-proxy    Apache with mod_proxy_fcgi, the program started on its own
    apache-fcgid    Apache with mod_fcgid, which starts the program
    htaccess        the same without root: one folder of a web space

Importing this makes them known to rig.
"""

import os
import pwd
import shutil
from pathlib import Path

from lib import rig

APACHE_MODULES = [
    Path(p) for p in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules",
                      "/usr/libexec/apache2")]
WEB_USERS = ("www-data", "apache", "nobody")
OPTIONAL = ("xsendfile", "http2")
SANITIZER_OPTIONS = ("ASAN_OPTIONS", "UBSAN_OPTIONS")


def web_user():
    """Whom Apache becomes when root starts it."""
    for name in WEB_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise RuntimeError(f"none of {WEB_USERS} is a user here")


class Lighttpd:
    """lighttpd as packaged, in the foreground, with Debian's settings."""

    program = "lighttpd"
    base = "/files"
    runs_app = False
    public = False
    # A body reaches the program while it arrives; also one of unknown
    # length; the longest that gets through, if there is such a thing; in
    # which pieces a client had better send a file.
    streams = True
    chunked = False
    longest = None
    piece = None

    def start(self, server):
        home = server.dir / "lighttpd"
        for name in ("", "tmp", "www"):
            (home / name).mkdir(exist_ok=True)
        (home / "tusfcgi.conf").write_text(self.snippet(server))
        (home / "lighttpd.conf").write_text(self.main(server, home))
        return rig.spawn(
            [rig.have("lighttpd"), "-D", "-f", str(home / "lighttpd.conf")],
            server.front_log_path)

    def snippet(self, server):
        return rig.snippet("etc/lighttpd/tusfcgi.conf", {
            "/run/tusfcgi/tusfcgi.sock": str(server.socket),
            '"/var/lib/tusfcgi"': f'"{server.uploads}"', **server.replace})

    def main(self, server, home):
        tls = ""
        if server.tls_port:
            tls = f"""
            server.modules += ( "mod_openssl" )
            $SERVER["socket"] == "127.0.0.1:{server.tls_port}" {{
                ssl.engine = "enable"
                ssl.pemfile = "{rig.certificate(server.dir)[2]}"
            }}
            """
        return f"""
            server.document-root = "{server.page or home / 'www'}"
            server.bind = "127.0.0.1"
            server.port = {server.port}
            server.pid-file = "{home}/pid"
            server.errorlog = "{home}/error.log"
            server.upload-dirs = ( "{home}/tmp" )
            index-file.names = ( "index.html" )
            mimetype.assign = ( ".html" => "text/html", ".css" => "text/css",
                ".js" => "text/javascript", ".svg" => "image/svg+xml" )
            server.feature-flags += ( "server.h2proto" => "enable",
                "server.h2c" => "enable",
                "server.graceful-shutdown-timeout" => 5 )
            server.http-parseopts = ( "header-strict" => "enable",
                "host-strict" => "enable", "host-normalize" => "enable",
                "url-normalize-unreserved" => "enable",
                "url-normalize-required" => "enable",
                "url-ctrls-reject" => "enable",
                "url-path-2f-decode" => "enable",
                "url-path-dotseg-remove" => "enable" )
            {tls}
            include "{home}/tusfcgi.conf"
            {server.extra}
            """


class LighttpdSpawn(Lighttpd):
    """The program has lighttpd for a parent."""

    runs_app = True

    def snippet(self, server):
        keep = "".join(f', "{n}"' for n in SANITIZER_OPTIONS)
        return rig.snippet("etc/lighttpd/tusfcgi-spawn.conf", {
            "/usr/sbin/tusfcgi -c /etc/tusfcgi.conf":
                f"{rig.program()} -c {server.config_path}",
            "/run/lighttpd/tusfcgi.sock": str(server.socket),
            '"PATH", "LANG", "TZ"': f'"PATH", "LANG", "TZ"{keep}',
            '"/var/lib/tusfcgi"': f'"{server.uploads}"', **server.replace})


class Apache:
    """Apache as packaged, in the foreground; what its kinds share."""

    program = "apache2"
    base = "/files"
    runs_app = False
    # As root it becomes somebody else, who must be able to get there.
    public = True
    streams = False
    chunked = True
    longest = None
    piece = 1 << 20
    modules = ("mpm_event", "authn_core", "authn_file", "auth_basic",
               "authz_core", "authz_host", "authz_user", "alias", "env", "dir",
               "mime", "reqtimeout", "http2")

    def start(self, server):
        home = server.dir / "apache"
        for name in ("", "www"):
            (home / name).mkdir(exist_ok=True)
        if server.page:
            shutil.copytree(server.page, home / "www", dirs_exist_ok=True)
            (home / "www").chmod(0o755)
        self.prepare(server, home)
        (home / "apache.conf").write_text(self.main(server, home))
        return rig.spawn(
            [rig.have("apache2") or rig.have("httpd"), "-DFOREGROUND",
             "-f", str(home / "apache.conf")], server.front_log_path)

    def user(self):
        return web_user().pw_name

    def prepare(self, server, home):
        """The shipped files, into the folder of the web server."""

    def load(self, names):
        folder = next(f for f in APACHE_MODULES if f.is_dir())
        return "\n".join(
            f"LoadModule {n}_module {folder}/mod_{n}.so" for n in names
            if (folder / f"mod_{n}.so").exists())

    def main(self, server, home):
        user = ""
        if os.geteuid() == 0:
            user = f"User {web_user().pw_name}\nGroup #{web_user().pw_gid}"
        tls = ""
        modules = self.modules
        if server.tls_port:
            modules += ("ssl",)
            key, cert, _ = rig.certificate(server.dir)
            tls = f"""
            Listen 127.0.0.1:{server.tls_port}
            <VirtualHost 127.0.0.1:{server.tls_port}>
                Protocols h2 http/1.1
                SSLEngine on
                SSLCertificateFile {cert}
                SSLCertificateKeyFile {key}
            </VirtualHost>
            """
        return f"""
            {self.load(modules)}
            ServerRoot {home}
            ServerName localhost
            DefaultRuntimeDir {home}
            PidFile {home}/pid
            ErrorLog {home}/error.log
            LogLevel warn
            Mutex file:{home} default
            {user}
            Listen 127.0.0.1:{server.port}
            Protocols h2c http/1.1
            # as in Debian's reqtimeout.conf
            RequestReadTimeout header=20-40,MinRate=500 body=10,MinRate=500
            DocumentRoot {home}/www
            <Directory />
                AllowOverride None
                Require all denied
            </Directory>
            <Directory {home}/www>
                AllowOverride All
                Require all granted
            </Directory>
            DirectoryIndex index.html
            TypesConfig /dev/null
            AddType text/html .html
            AddType text/css .css
            AddType text/javascript .js
            AddType image/svg+xml .svg
            StartServers 1
            ThreadsPerChild 25
            MaxRequestWorkers 50
            MinSpareThreads 5
            MaxSpareThreads 50
            {self.extra_main(server, home)}
            {tls}
            {server.extra}
            """

    def extra_main(self, server, home):
        return f"Include {home}/tusfcgi.conf"


class ApacheProxy(Apache):
    """mod_proxy_fcgi: streams."""

    streams = True
    piece = None
    modules = Apache.modules + ("proxy", "proxy_fcgi", "xsendfile")

    def prepare(self, server, home):
        (home / "tusfcgi.conf").write_text(rig.snippet(
            "etc/apache/tusfcgi-proxy.conf", {
                "/run/tusfcgi/tusfcgi.sock": str(server.socket),
                "XSendFilePath /var/lib/tusfcgi":
                    f"XSendFilePath {server.uploads}", **server.replace}))


def public_program(server):
    """A copy of the program where the web server's user can get at it."""
    if os.geteuid() != 0:
        return rig.program()
    copy = server.dir / "tusfcgi"
    if not copy.exists():
        shutil.copy(rig.program(), copy)
    return str(copy)


def fcgid_settings(server, home):
    """What mod_fcgid needs to run in a folder; nothing of it is ours."""
    sockets = server.socket.parent / "fcgid"
    sockets.mkdir(exist_ok=True)
    server.own(sockets)
    env = "\n".join(
        f'FcgidInitialEnv {n} "{os.environ[n]}"' for n in SANITIZER_OPTIONS
        if n in os.environ)
    return f"""
            FcgidIPCDir {sockets}
            FcgidProcessTableFile {home}/fcgid.shm
            {env}
            """


class ApacheFcgid(Apache):
    """mod_fcgid: spools, and starts the program itself."""

    modules = Apache.modules + ("fcgid", "xsendfile")
    runs_app = True

    def prepare(self, server, home):
        (home / "tusfcgi.conf").write_text(rig.snippet(
            "etc/apache/tusfcgi-fcgid.conf", {
                "/usr/sbin/tusfcgi": public_program(server),
                "/etc/tusfcgi.conf": str(server.config_path),
                "XSendFilePath /var/lib/tusfcgi":
                    f"XSendFilePath {server.uploads}", **server.replace}))

    def extra_main(self, server, home):
        return (fcgid_settings(server, home) +
                f"Include {home}/tusfcgi.conf")


def extend(text, config):
    """A configuration file as shipped, and a test's wishes beside it."""
    for group, value in config.items():
        start = f"{group}: {{\n"
        if start in text:
            rows = "".join(f"\t{key} = {rig.libconfig(v, 2)};\n"
                           for key, v in value.items())
            text = text.replace(start, start + rows)
        else:
            text += f"{group} = {rig.libconfig(value, 1)};\n"
    return text


class Htaccess(Apache):
    """Somebody's web space: the folder as shipped plus the program."""

    modules = Apache.modules + ("fcgid", "rewrite", "setenvif")
    runs_app = True
    base = "/up/files"
    longest = 131072
    piece = 131072

    def prepare(self, server, home):
        space = home / "www" / "up"
        if space.exists():
            return
        shutil.copytree(rig.TREE / "etc/apache/htaccess", space)
        (space / ".htaccess").write_text(rig.snippet(
            "etc/apache/htaccess/.htaccess", server.replace))
        shutil.copy(rig.program(), space / "tus.fcgi")
        (space / "tus.fcgi").chmod(0o755)
        conf = space / "tus.conf"
        conf.write_text(extend(conf.read_text(), server.config))
        shutil.rmtree(server.uploads)
        server.uploads = space / "uploads"
        server.own(server.uploads)

    def extra_main(self, server, home):
        return fcgid_settings(server, home)


def missing(name):
    """Why this front end cannot run here; None if it can."""
    kind = rig.FRONT_ENDS[name]
    if not (rig.have(kind.program) or
            kind.program == "apache2" and rig.have("httpd")):
        return f"no {kind.program}"
    for module in getattr(kind, "modules", ()):
        if module in OPTIONAL:
            continue
        if not any((f / f"mod_{module}.so").exists() for f in APACHE_MODULES):
            return f"no mod_{module}"
    return None


NAMES = {
    "lighttpd": Lighttpd,
    "lighttpd-spawn": LighttpdSpawn,
    "apache-proxy": ApacheProxy,
    "apache-fcgid": ApacheFcgid,
    "htaccess": Htaccess,
}
rig.FRONT_ENDS.update(NAMES)
