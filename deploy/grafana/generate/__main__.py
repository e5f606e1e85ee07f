"""Write the dashboards that Grafana reads: deploy/grafana/dashboards/<name>.json."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana.generate import written

FOLDER = Path(__file__).resolve().parent.parent / "dashboards"

FOLDER.mkdir(exist_ok=True)
for name, text in written().items():
    (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
