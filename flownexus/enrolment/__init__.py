"""Credentials of devices: keys, certificates, and the files that devices take. No I/O.

Its modules need `cryptography`, which takes memory and time to import: import them where they are used.
"""
