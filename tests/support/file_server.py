"""A server on loopback that hands out files as weights are handed out: parts, tags, and faults."""

import contextlib
import hashlib
import http.server
import threading


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get('Range')))
        body = server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        start = 0
        if (given := self.headers.get('Range')) and self.headers.get('If-Range') == tag:
            start = int(given.removeprefix('bytes=').rstrip('-'))
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            first = start if server.honest else 0
            self.send_header('Content-Range', f'bytes {first}-{len(body) - 1}/{len(body)}')
        self.send_header('Content-Length', str(len(body) - start))
        self.send_header('ETag', tag)
        self.end_headers()
        self.wfile.write(body[start : server.cut_at] if server.cut_at else body[start:])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(**files):
    """Serves {path: content} until the block ends.

    Yields:
        The server: `url`, `files`, the `requests` so far as (path, Range), `cut_at`, the number of
        bytes after which answers end early, 0 for none, and `honest`, False for ranges that were
        not asked for.
    """
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    server.files, server.requests, server.cut_at, server.honest = dict(files), [], 0, True
    server.url = f'http://127.0.0.1:{server.server_address[1]}'
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
