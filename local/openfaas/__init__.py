"""OpenFaaS as far as one machine needs it: a gateway and provider that runs functions as processes."""
