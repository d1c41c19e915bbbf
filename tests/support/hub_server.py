"""A server on loopback that speaks the Hugging Face hub's protocol, as far as its library asks."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading

COMMIT = '0123456789abcdef' * 2 + '01234567'


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if found := re.fullmatch(
            r'/api/models/([^/]+/[^/]+)(?:/revision/([^/?]+))?(?:\?.*)?', self.path
        ):
            self._repository(found[1])
        elif found := re.match(r'/api/models/([^/]+/[^/]+)/tree/', self.path):
            files = self.server.repositories[found[1]]
            self._answer(200, [_entry(name, content) for name, content in files.items()])
        elif found := re.fullmatch(r'/([^/]+/[^/]+)/resolve/[^/]+/(.+)', self.path):
            self._file(found[1], found[2])
        else:
            self._answer(404, {})

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        server = self.server
        if self.path == '/api/repos/create':
            asked = json.loads(body)
            name = '/'.join(filter(None, (asked.get('organization'), asked['name'])))
            server.repositories.setdefault(name, {})
            self._answer(200, {'url': f'{server.url}/{name}', 'name': name})
        elif '/preupload/' in self.path:
            files = [
                {'path': file['path'], 'uploadMode': 'regular', 'shouldIgnore': False}
                for file in json.loads(body)['files']
            ]
            self._answer(200, {'files': files})
        elif found := re.match(r'/api/models/([^/]+/[^/]+)/commit/', self.path):
            for line in map(json.loads, body.splitlines()):
                if line['key'] == 'file':
                    content = base64.b64decode(line['value']['content'])
                    server.repositories[found[1]][line['value']['path']] = content
            url = f'{server.url}/{found[1]}/commit/{COMMIT}'
            self._answer(200, {'commitUrl': url, 'commitOid': COMMIT})
        elif self.path == '/api/validate-yaml':
            self._answer(200, {'errors': [], 'warnings': []})
        else:
            self._answer(404, {})

    def _repository(self, name):
        if name in self.server.gated:
            self._answer(403, {'error': 'gated'}, {'X-Error-Code': 'GatedRepo'})
        elif name not in self.server.repositories:
            self._answer(404, {'error': 'none'}, {'X-Error-Code': 'RepoNotFound'})
        else:
            files = [{'rfilename': file} for file in self.server.repositories[name]]
            self._answer(200, {'id': name, 'sha': COMMIT, 'siblings': files})

    def _file(self, name, file):
        content = self.server.repositories.get(name, {}).get(file)
        if content is None:
            self._answer(404, {}, {'X-Error-Code': 'EntryNotFound'})
            return
        entry = _entry(file, content)
        tag = {'ETag': f'"{entry["oid"]}"', 'X-Repo-Commit': COMMIT}
        if 'lfs' in entry:
            tag |= {'X-Linked-ETag': f'"{entry["lfs"]["oid"]}"', 'X-Linked-Size': str(len(content))}
        damaged = file in self.server.damaged and self.command == 'GET'
        self._answer(200, content[:-1] + b'X' if damaged else content, tag)

    def _answer(self, status, content, headers=()):
        self.server.requests.append(self.path)
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def _entry(name, content):
    """Returns what the hub says of a file; weights are large files, known by their SHA-256."""
    entry = {'type': 'file', 'path': name, 'size': len(content)}
    entry['oid'] = hashlib.sha1(content).hexdigest()
    if name.endswith(('.safetensors', '.bin')):
        sha256 = hashlib.sha256(content).hexdigest()
        entry['lfs'] = {'oid': sha256, 'size': len(content), 'pointerSize': 130}
    return entry


@contextlib.contextmanager
def hub():
    """Runs the server until the block ends.

    Yields:
        The server: `url`, `repositories` as {name: {file: content}}, names of `gated` ones, names
        of files that arrive `damaged`, and the paths of `requests` so far.
    """
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    server.repositories, server.gated, server.damaged, server.requests = {}, set(), set(), []
    server.url = f'http://127.0.0.1:{server.server_address[1]}'
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
