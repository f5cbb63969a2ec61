"""The certificate of the workloads with TLS."""

import ssl
from functools import cache

HOST = "127.0.0.1"


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    import trustme  # only now: it takes a while, and few workloads need it

    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert(HOST).configure_cert(server)
    authority.configure_trust(client)
    return server, client
