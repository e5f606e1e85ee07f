"""An object store that speaks Amazon's S3 protocol: requests are signed, and sent to one bucket."""
