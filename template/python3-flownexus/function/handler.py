"""An example function: it echoes what it is sent."""

from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/")
def echo() -> Response:
    """Answer with the body of the request."""
    return Response(request.get_data(), mimetype="application/octet-stream")
