"""The interface keeps what its OpenAPI document promises, whatever is sent."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("schemathesis")

from .line import inspect, nut, serving

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
)


@pytest.mark.slow
def test_no_request_breaks_it(line_model: Path, tmp_path: Path) -> None:
    token = "a secret of this line"
    with serving(line_model, tmp_path / "data", BLEMISH_TOKEN=token) as (_, client):
        (found,) = inspect(client, nut(1, "spot"))
        said = {"inspection": found["id"], "decision": "confirmed", "category": "spot"}
        review = client.post("/v1/reviews", json=said).raise_for_status().json()
        model = client.get("/v1/models").json()["current"]
        config = tmp_path / "schemathesis.toml"
        config.write_text(
            "".join(
                f'[[operations]]\ninclude-path-regex = "^/v1/{place}/"\nparameters = {{ id = "{id}" }}\n'
                for place, id in (("inspections", found["id"]), ("reviews", review["id"]), ("models", model))
            )
        )
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
        command += ["run", f"{client.base_url}/openapi.json", "--checks", ",".join(_CHECKS), "--seed", "1"]
        command += ["--header", f"Authorization: Bearer {token}"]
        command += ["--max-examples", "15", "--continue-on-failure", "--no-color", "--generation-database", "none"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        generated = re.search(r"([\d,]+) generated", done.stdout)
        assert generated is not None
        assert int(generated[1].replace(",", "")) > 300
        assert client.get("/readyz").is_success
