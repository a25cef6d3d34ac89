"""What `lipsync serve` gives, and what it does not."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.cli.report_server import report_app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "reports"
    (root / "run-1").mkdir(parents=True)
    (root / "run-1" / "report.html").write_text("<p>one</p>")
    (root / "run-1" / "result.mp4").write_bytes(bytes(range(100)))
    (root / "run-1" / ".result.mp4.part").write_text("half")
    (root / "run-1" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "out").symlink_to(tmp_path)
    return root


@pytest.fixture
def client(folder: Path) -> TestClient:
    return TestClient(report_app(folder, "127.0.0.1"), base_url="http://127.0.0.1")


def test_a_player_gets_the_bytes_that_it_asks_for(client):
    answer = client.get("/run-1/result.mp4", headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, bytes(range(10, 20)))
    assert answer.headers["content-range"] == "bytes 10-19/100"
    assert client.get("/run-1/result.mp4").headers["content-type"] == "video/mp4"


@pytest.mark.parametrize(
    "path",
    [
        "/run-1",  # no listing
        "/run-1/.result.mp4.part",
        "/run-1/link.txt",
        "/out/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/run-1/%2e%2e/%2e%2e/secret.txt",
    ],
)
def test_nothing_else_is_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_it_is_read_only(client):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/run-1/report.html").status_code == 405


def test_the_first_page_leads_to_the_reports(client, folder):
    assert 'href="run-1/report.html"' in client.get("/").text
    (folder / "report.html").write_text("<p>here</p>")
    assert client.get("/").text == "<p>here</p>"


def test_on_loopback_it_answers_to_no_other_name(client, folder):
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert TestClient(report_app(folder, "0.0.0.0"), base_url="http://gpu-7").get("/").status_code == 200
