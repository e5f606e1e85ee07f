"""The HTTP edge that functions share: who may call, bodies, errors as responses."""
