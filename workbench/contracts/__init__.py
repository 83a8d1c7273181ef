"""What everything that is plugged into the workbench must keep, as tests that a plug-in's author runs.

``pytest --pyargs workbench.contracts`` runs them on all that is registered here: the workbench's own and
what installed plug-ins add (see `workbench.plugins`).  ``-k NAME`` picks what bears a name.
"""
