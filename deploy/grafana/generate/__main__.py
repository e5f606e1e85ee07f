"""Write the dashboards that Grafana reads, below deploy/grafana/."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana.generate import written

FOLDER = Path(__file__).resolve().parent.parent

for path, text in written().items():
    (FOLDER / path).write_text(text, encoding="utf-8")
