"""Public files are downloaded once, checked, and refused if they are not what they should be."""

import hashlib
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from bnadapt.data.em.origin import Origin
from bnadapt.errors import InputError

CONTENT = b"an image, say"


@pytest.fixture
def served(tmp_path):
    """A data set on a server of this machine's own, and the paths that were asked for."""
    (tmp_path / "there" / "raw").mkdir(parents=True)
    (tmp_path / "there" / "raw" / "0.png").write_bytes(CONTENT)
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "there")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{{path}}", asked
    server.shutdown()


def origin(url, content=CONTENT):
    sha256 = {"raw/0.png": hashlib.sha256(content).hexdigest()}
    return Origin("small", "A small set", url, "CC0", "nobody", sha256)


def test_a_file_is_fetched_once_into_the_data_folder(served, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("BNADAPT_DATA", str(tmp_path / "here"))
    url, asked = served
    for _ in range(2):
        paths = origin(url).fetch(["raw/0.png"])
    assert paths == [tmp_path / "here" / "small" / "raw" / "0.png"]
    assert paths[0].read_bytes() == CONTENT
    assert asked == ["/raw/0.png"]
    assert "Licence: CC0" in caplog.text


def test_a_file_with_another_content_is_refused_and_not_kept(served, tmp_path, monkeypatch):
    monkeypatch.setenv("BNADAPT_DATA", str(tmp_path / "here"))
    with pytest.raises(InputError, match="cannot be fetched"):
        origin(served[0], b"something else").fetch(["raw/0.png"])
    assert not (tmp_path / "here" / "small" / "raw" / "0.png").exists()
