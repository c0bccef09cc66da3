"""What a server answered, whichever way it came."""


class Reply:
    """status, reason, headers (a list of pairs) and body.

    reply["Upload-Offset"] is the value of a header, None if it is absent; a
    header that is there twice is an error.
    """

    def __init__(self, status, reason, headers, body):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def __getitem__(self, name):
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    def __contains__(self, name):
        return self[name] is not None

    def tokens(self, name):
        """The elements of a list header, [] if it is absent."""
        value = self[name]
        return [t.strip() for t in value.split(",")] if value else []

    @property
    def code(self):
        """ERR_... of an error body."""
        return self.body.split(b":")[0].decode("latin-1")

    def __repr__(self):
        return (f"<{self.status} {self.reason} {dict(self.headers)} "
                f"{self.body[:200]!r}>")
