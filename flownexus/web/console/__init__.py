"""The console: pages for people, on the same store and the same policy as the REST API.

`app` has what holds for every page: who may see it, forms, headers, errors. The other modules are its pages.
"""
