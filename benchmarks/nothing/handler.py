"""Answer without doing anything: what the function server itself can do at most."""

from flask import Flask

app = Flask("nothing", static_folder=None)


@app.post("/")
@app.post("/<path:path>")
def nothing(**_path: str) -> dict[str, int]:
    """Answer."""
    return {"stored": 1}
