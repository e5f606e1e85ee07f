"""The images of a deployment: contexts from this repository, built by whichever engine is there."""
